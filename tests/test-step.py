#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole training step against PyTorch: test-step.py STEP_DUMP SOURCE_ROOT. TAP.

step-dump writes a step of Atto with its pictures, objects, denoising queries, weights, losses and gradients; here the
same comes out of bench/pytorch with autograd. Strict loading of the file that it saved is part of it.
"""
import dataclasses
import os
import subprocess
import sys
import tempfile

dump, root = sys.argv[1:]
try:
    import numpy as np
    import torch
except ImportError:
    print("1..0 # SKIP no PyTorch: install python3-torch")
    sys.exit()
sys.path.insert(0, os.path.join(root, "bench", "pytorch"))
from criterion import criterion  # noqa: E402
from detr import checkpoint  # noqa: E402
from detr.arch import preset  # noqa: E402
from detr.denoising import Denoising  # noqa: E402
from detr.network import Network  # noqa: E402

SIDE, CLASSES = 160, 6
# As in test-autograd.c: rounding moves single activations and samples to the other side of a jump.
CLOSE, MOSTLY, JUMP = 1e-4, 0.85, 0.02


def read_targets(path, batch):
    targets = [([], []) for _ in range(batch)]
    for line in open(path):
        picture, label, *box = line.split()
        targets[int(picture)][0].append(int(label))
        targets[int(picture)][1].append([float(side) for side in box])
    return [(torch.tensor(labels), torch.tensor(boxes)) for labels, boxes in targets]


def read_denoising(path, batch):
    lines = [line.split() for line in open(path)]
    groups, places, queries = map(int, lines[0])
    rows = lines[1:1 + batch * queries]
    labels = torch.tensor([int(row[0]) for row in rows]).view(batch, queries)
    boxes = torch.tensor([[float(side) for side in row[1:]] for row in rows]).view(batch, queries, 4)
    pairs = [[] for _ in range(batch)]
    for _, picture, query, target in lines[1 + batch * queries:]:
        pairs[int(picture)].append((int(query), int(target)))
    used = groups * places
    return Denoising(labels[:, :used], boxes[:, :used], groups), pairs


def result(good, name, said):
    print(f"{'ok' if good else 'not ok'} {name} # {said}", flush=True)


def main():
    print("1..3")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([dump, folder], check=True, stdout=subprocess.DEVNULL)
        pictures = np.fromfile(os.path.join(folder, "pictures.bin"), "<f4").reshape(-1, 3, SIDE, SIDE)
        targets = read_targets(os.path.join(folder, "targets.txt"), len(pictures))
        queries, pairs = read_denoising(os.path.join(folder, "denoising.txt"), len(pictures))
        arch = preset("deimv2_atto")
        network = Network(dataclasses.replace(arch, decoder=dataclasses.replace(arch.decoder, classes=CLASSES)), SIDE, SIDE)
        state = checkpoint.read_safetensors(os.path.join(folder, "model.safetensors"))
        network.load_state_dict(state[0] if isinstance(state, tuple) else state)
        network.train()
        total = criterion(network(torch.from_numpy(pictures), queries), targets, pairs)
        total.sum().backward()
        ours = [float(number) for number in open(os.path.join(folder, "result.txt")).read().split()]
        theirs = [float(total.sum())] + total.tolist()
        off = max(abs(a - b) / b for a, b in zip(ours, theirs))
        result(off < 1e-5, "losses", f"off by {off:.1e}")

        found = {line.split()[0]: [float(x) for x in line.split()[1:]] for line in open(os.path.join(folder, "gradients.txt"))}
        trained = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        result(sorted(found) == sorted(trained), "the same parameters are trained",
               f"{len(found)}, {len(trained)}: {sorted(set(found) ^ set(trained))[:3]}")
        errors = []
        for name in set(found) & set(trained):
            values = trained[name].double().flatten()
            length = float(values.norm())
            along = float((values * torch.cos(0.37 * torch.arange(len(values)) + 0.1)).sum())
            # Single numbers may be what is left of large ones that cancel: relative to their module's others.
            scale = length if len(values) > 1 else max(length, 1e-2)
            errors.append((max(abs(found[name][0] - length), abs(found[name][1] - along)) / (scale + 1e-5), name))
        errors.sort()
        close = sum(error < CLOSE for error, _ in errors) / len(errors)
        result(close >= MOSTLY and errors[-1][0] < JUMP, "gradients",
               f"{100 * close:.0f} % within {CLOSE:.0e}; the worst off by {errors[-1][0]:.1e}: {errors[-1][1]}")


main()
