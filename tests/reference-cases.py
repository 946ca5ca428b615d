# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints tests/reference-cases.h: what PyTorch makes of small operands that tests/test-reference.c makes likewise.

    python3 tests/reference-cases.py > tests/reference-cases.h        (Debian: python3-torch)

Nothing runs this at build time; the header is committed. All in float64, from operands that are exact in float32.
"""
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def fill(salt, *shape):
    """fill_operand() of test-reference.c: numbers in -2..2, by position and salt."""
    n = 1
    for s in shape:
        n *= s
    v = [(((((i * 2654435761 + salt * 40503) % 2**32) >> 16) % 2001) - 1000) / 500 for i in range(n)]
    return torch.tensor(v).to(torch.float32).double().reshape(shape)


def emit(name, tensor):
    values = [format(v, ".9g") for v in tensor.flatten().tolist()]
    print(f"\nstatic const gdouble {name}[] = {{ /* {list(tensor.shape)} */")
    line = " "
    for v in values:
        if len(line) + len(v) + 2 > 118:
            print(line)
            line = " "
        line += f" {v},"
    print(line + "\n};")


def tokens(t):
    """[n, c, T] -> [n, T, c]: ours to PyTorch's, and back."""
    return t.transpose(1, 2)


def attention():
    """torch.nn.MultiheadAttention whose projections are identities."""
    q, k, v = fill(1, 2, 6, 3), fill(2, 2, 6, 5), fill(3, 2, 6, 5)
    m = torch.nn.MultiheadAttention(6, 2, batch_first=True).eval()
    with torch.no_grad():
        m.in_proj_weight.copy_(torch.eye(6).repeat(3, 1))
        m.in_proj_bias.zero_()
        m.out_proj.weight.copy_(torch.eye(6))
        m.out_proj.bias.zero_()
        return tokens(m(tokens(q), tokens(k), tokens(v))[0])


LEVELS, POINTS, HEADS, HD, Q, N = [(2, 3), (3, 4)], [2, 1], 2, 3, 4, 2


def deform(discrete):
    levels = [(3, 3), (4, 4)] if discrete else LEVELS
    total = sum(POINTS)
    value = fill(1, N, HEADS, HD, sum(h * w for h, w in levels))
    offsets = fill(2, N, HEADS, total, 2, Q) * (4 if discrete else 1)
    weights = fill(3, N, HEADS, total, Q).softmax(2)
    refs = (fill(4, N, 4, Q) + 2) / 4
    out = torch.zeros(N, HEADS, HD, Q)
    first, point = 0, 0
    for (h, w), count in zip(levels, POINTS):
        maps = value[..., first:first + h * w].reshape(N * HEADS, HD, h, w)
        for _ in range(count):
            loc = refs[:, None, :2] + offsets[:, :, point] / count * refs[:, None, 2:] * 0.5  # [N, HEADS, 2, Q]
            grid = loc.permute(0, 1, 3, 2).reshape(N * HEADS, 1, Q, 2)
            if discrete:
                pixel = (grid * torch.tensor([w, h]) + 0.5).to(torch.int64).clamp(0, h - 1)[:, 0]
                s = torch.stack([maps[i][:, pixel[i, :, 1], pixel[i, :, 0]] for i in range(N * HEADS)])
            else:
                s = F.grid_sample(maps, grid * 2 - 1, mode="bilinear", padding_mode="zeros", align_corners=False)
            out += s.reshape(N, HEADS, HD, Q) * weights[:, :, point, None]
            point += 1
        first += h * w
    return out.reshape(N, HEADS * HD, 1, Q)


def main():
    print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
    print("/* reference-cases.h - printed by tests/reference-cases.py from PyTorch " + torch.__version__.split("a")[0] + "; included by test-reference.c alone. */")
    print("#pragma once\n\n#include <glib.h>\n\n/* clang-format off */")

    x, w, b = fill(1, 2, 4, 5, 6), fill(2, 6, 2, 3, 3), fill(3, 6)
    conv = F.conv2d(F.pad(x, (1, 0, 0, 2)), w, b, stride=2, groups=2)
    emit("expected_conv", conv)
    r = fill(4, *conv.shape)
    emit("expected_conv_before", F.silu(conv + r) * 0.5 + 0.25)
    emit("expected_conv_after", conv.clamp(-1, 1.5) * 0.5 + 0.25 + r)
    emit("expected_linear", tokens(F.linear(tokens(fill(1, 2, 5, 3)), fill(2, 4, 5), fill(3, 4))))
    emit("expected_depthwise", F.conv2d(fill(1, 1, 3, 4, 5), fill(2, 3, 1, 3, 3), None, padding=1, groups=3))
    emit("expected_batch_norm", F.batch_norm(fill(1, 2, 3, 2, 2), fill(4, 3), fill(5, 3).abs() + 0.1, fill(2, 3),
                                             fill(3, 3), False, 0, 1e-2))
    x = fill(1, 16) * 3
    emit("expected_silu", F.silu(x))
    emit("expected_gelu", F.gelu(x))
    emit("expected_sigmoid", x.sigmoid())
    u = ((fill(1, 16) + 1) / 2).clamp(0, 1)
    emit("expected_inverse_sigmoid", torch.log(u.clamp(min=1e-5) / (1 - u).clamp(min=1e-5)))
    emit("expected_avg_pool", F.avg_pool2d(fill(1, 2, 2, 5, 4), 3, 2, 1))
    emit("expected_max_pool", F.max_pool2d(fill(1, 2, 2, 5, 4) - 3, 3, 2, 1))
    x, r = fill(1, 2, 5, 2, 3), fill(4, 2, 5, 2, 3)
    last = x.permute(0, 2, 3, 1)
    emit("expected_layer_norm", F.layer_norm(last, (5,), fill(2, 5), fill(3, 5), 1e-2).permute(0, 3, 1, 2))
    emit("expected_layer_norm_residual",
         F.layer_norm(last + r.permute(0, 2, 3, 1), (5,), fill(2, 5), fill(3, 5), 1e-2).permute(0, 3, 1, 2))
    emit("expected_rms_norm", x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-2) * fill(2, 5)[:, None, None])
    emit("expected_attention", attention())
    emit("expected_deform", deform(False))
    emit("expected_deform_discrete", deform(True))

    corners, boxes, bins, reg = fill(1, 2, 4, 33, 3) * 2, fill(2, 2, 4, 3), fill(3, 33), -4.0
    d = (corners.softmax(2) * bins[:, None]).sum(2)
    cx, cy, bw, bh = boxes.unbind(1)
    reg = abs(reg)
    x1, y1 = cx - (0.5 * reg + d[:, 0]) * bw / reg, cy - (0.5 * reg + d[:, 1]) * bh / reg
    x2, y2 = cx + (0.5 * reg + d[:, 2]) * bw / reg, cy + (0.5 * reg + d[:, 3]) * bh / reg
    emit("expected_fdr", torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1))
    top = corners.softmax(2).topk(4, dim=2).values
    emit("expected_lqe", torch.cat([top, top.mean(2, keepdim=True)], 2).reshape(2, 20, 1, 3))

    logits, boxes = fill(1, 2, 3, 4), fill(2, 2, 4, 4)
    scores, index = tokens(logits).reshape(2, 12).sigmoid().topk(5)
    query = index // 3
    rows = [scores, (index % 3).double(), query.double(), torch.zeros(2, 5)]
    rows += [boxes[:, j].gather(1, query) for j in range(4)]
    emit("expected_detections", torch.stack(rows, 1))


main()
