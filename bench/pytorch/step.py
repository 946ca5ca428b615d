#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times training steps of a network in PyTorch:  step.py ARCH HxW [--batch N] [--denoising N] [--steps N] [--threads N]

Forward in training mode with auxiliary and denoising outputs, a scalar product of all outputs with fixed numbers in the
loss's place (so matching and losses are not in it), backward, clipping, AdamW, a moving average of the weights. Prints
one JSON object: milliseconds of wall clock (median) and of processor time in all threads (mean) per step.
"""
import argparse
import json
import time

import torch

from detr.arch import preset
from detr.denoising import noisy_queries
from detr.network import Network


def objects(count, classes, generator):
    """As many random boxes of random classes."""
    centre = 0.3 + 0.4 * torch.rand(count, 2, generator=generator)
    size = 0.1 + 0.3 * torch.rand(count, 2, generator=generator)
    return torch.randint(0, classes, (count,), generator=generator), torch.cat([centre, size], 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch")
    parser.add_argument("size", type=lambda text: tuple(int(side) for side in text.split("x")))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--denoising", type=int, default=100, help="positives, about")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    arch, generator = preset(options.arch), torch.Generator().manual_seed(1)
    network = Network(arch, *options.size).train()
    trained = [p for p in network.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in trained]
    optimiser = torch.optim.AdamW(trained, lr=1e-4)
    pictures = torch.rand(options.batch, 3, *options.size, generator=generator)
    targets = [objects(10, arch.decoder.classes, generator) for _ in range(options.batch)]
    queries = None
    if options.denoising and arch.decoder.denoising:
        queries = noisy_queries(targets, arch.decoder.classes, options.denoising, generator=generator)
    weights = {}

    def step():
        out = network(pictures, queries)
        total = 0
        for name, value in out.items():
            if name != "tokens" and not name.endswith(".refs"):
                if name not in weights:
                    weights[name] = 1e-3 * torch.randn(value.shape, generator=generator)
                total = total + (value * weights[name]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.1)
        optimiser.step()
        with torch.no_grad():
            for kept, now in zip(average, trained):
                kept.lerp_(now, 0.01)

    step()
    step()
    wall, cpu = [], time.process_time()
    for _ in range(options.steps):
        start = time.perf_counter()
        step()
        wall.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"wall": sorted(wall)[len(wall) // 2],
                      "processor": 1e3 * (time.process_time() - cpu) / options.steps,
                      "threads": torch.get_num_threads(), "torch": torch.__version__}))


main()
