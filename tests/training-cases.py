# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints tests/training-cases.h: what PyTorch's AdamW makes of two tensors in five steps, in float64.

    python3 tests/training-cases.py > tests/training-cases.h        (Debian: python3-torch)

Nothing runs this at build time; the header is committed. Weights and gradients are those of test-optimiser.c: number
i of step s and salt k is ((7 i + 13 s + 29 k) mod 17 - 8) / 8."""
import torch

torch.set_default_dtype(torch.float64)
N = 6
STEPS = 5


def fill(salt, step):
    return torch.tensor([((7 * i + 13 * step + 29 * salt) % 17 - 8) / 8 for i in range(N)])


def emit(name, values):
    print("static const gdouble %s[] = {\n  %s\n};" % (name, ",\n  ".join("%.17g" % v for v in values)))


def main():
    backbone, bias = (torch.nn.Parameter(fill(k, 0)) for k in (0, 1))
    optimiser = torch.optim.AdamW(
        [{"params": [backbone], "lr": 1e-2, "weight_decay": 0.1}, {"params": [bias], "lr": 2e-2, "weight_decay": 0.0}],
        betas=(0.9, 0.999), eps=1e-8)
    norms = []
    for step in range(1, STEPS + 1):
        # Small gradients at first: the clip at 0.1 leaves those of the first step as they are.
        scale = 0.02 if step == 1 else 1.0
        backbone.grad, bias.grad = scale * fill(0, step), scale * fill(1, step)
        norms.append(float(torch.nn.utils.clip_grad_norm_([backbone, bias], 0.1)))
        optimiser.step()
    print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
    print("/* training-cases.h - made by training-cases.py with PyTorch %s. */" % torch.__version__)
    print("/* clang-format off */")
    emit("adamw_backbone", backbone.tolist())
    emit("adamw_bias", bias.tolist())
    emit("adamw_norms", norms)


main()
