#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gradients of a whole network in training mode, by PyTorch's autograd:  gradients.py ARCH HxW OUT.safetensors [--full]

What is differentiated is one number: the sum of value * weight over all training outputs (decoder.py names them).
Everything that goes in comes from the generator of the golden sets (prng.py), so that others can make it:

- parameters by the golden rule, seed 1, but matrices of the decoder halved: rounding then moves places of sampling
  less, and fewer samples have a gradient that jumps because they fall on a pixel's other side;
- two pictures, `noise` of seed 1 and `smooth` of seed 2; BatchNorm uses the batch;
- denoising queries in two groups of three near and three far boxes, the third of each being padding in the second
  picture; labels and boxes stand in the file;
- weights u("functional:NAME", 1, i) with i = ((picture * n + query) * values + value). Selected queries are known by
  their token (query = token, n = all tokens, or for one2many token * classes + class), because their order is not
  reproducible, denoising queries by their place (n = their number). `refs` have none: nothing flows back from them.

OUT has three tables: `outputs`; `gradients`, of every parameter, and of the pictures as `input`; `buffers`, BatchNorm's
after the step. The lines of the metadata entry TABLE are the rows' names. The columns are tensors:

  TABLE.samples     f32 [rows, 16]: values at flat places bits("sample:ROW", 0, k) mod size
  TABLE.norm        f64 [rows]: the Euclidean length
  TABLE.projection  f64 [rows]: the scalar product with u("projection:ROW", 0, i)
  TABLE.noise       f32 [rows]: the length of the difference between PyTorch's float32 and float64; some gradients are
                    nothing else, such as that of a bias before a BatchNorm

Queries of outputs are in the order of their tokens. All is computed in float64. With --full the gradients themselves
follow, as GRADIENT:NAME.
"""
import argparse

import numpy as np
import torch

import prng
from detr import checkpoint
from detr.arch import preset
from detr.denoising import Denoising
from detr.network import Network

SEED = 1
SAMPLES = 16
CLEAR = 1e-4  # margin of the selection: ten times what float32 does to scores
COLUMNS = ("samples", "norm", "projection", "noise")


def calm(network):
    """Gives a Network the weights above, in place."""
    prng.fill(network, SEED)
    with torch.no_grad():
        for name, value in network.decoder.named_parameters():  # a shared one comes once
            if value.dim() == 2 and value.is_floating_point():
                value.mul_(0.5)
    return network


def pictures(h, w):
    return np.stack([prng.picture("noise", SEED, h, w), prng.picture("smooth", SEED + 1, h, w)])


def denoising(classes, groups=2, objects=3):
    """Two pictures' queries, the last object of the second one being padding."""
    n = 2 * groups * objects
    labels = (prng.bits("denoising.labels", SEED, 2 * n) % classes).astype(np.int64).reshape(2, n)
    labels[1, objects - 1::objects] = classes
    u = prng.uniform("denoising.boxes", SEED, (2, n, 4)).astype(np.float32)
    boxes = u * np.float32([0.4, 0.4, 0.2, 0.2]) + np.float32([0.5, 0.5, 0.25, 0.25])
    return Denoising(torch.from_numpy(labels), torch.from_numpy(boxes), groups)


def weights(name, value, tokens, n_tokens):
    """The functional's weights for an output [B, Q, values]."""
    batch, queries, width = value.shape
    if name.startswith("dn"):
        query, n = np.broadcast_to(np.arange(queries), (batch, queries)), queries
    else:
        query, n = tokens.numpy(), n_tokens
    row = np.arange(batch)[:, None] * n + query
    index = row[:, :, None] * width + np.arange(width)
    return torch.from_numpy(prng.uniform_at("functional:" + name, SEED, index))


def differentiate(arch, h, w, dtype):
    """One step: outputs (queries by token), gradients, buffers; by name. Then the tokens, ascending, and by how much
    the worst of them was better than the best that was not selected."""
    network = calm(Network(arch, h, w)).to(dtype).train()
    seen = []
    network.decoder.enc_score_head.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    images = torch.from_numpy(pictures(h, w)).to(dtype).requires_grad_()
    queries = denoising(arch.decoder.classes) if arch.decoder.denoising else None
    out = network(images, queries)
    tokens = out.pop("tokens")
    n_tokens = sum((h // stride) * (w // stride) for stride in arch.strides)
    n_tokens *= arch.decoder.classes if arch.decoder.select == "one2many" else 1
    total = sum((value * weights(name, value, tokens, n_tokens).to(dtype)).sum()
                for name, value in out.items() if not name.endswith(".refs"))
    total.backward()
    tokens, by_token = tokens.sort(1)
    rank = seen[0].flatten(1) if arch.decoder.select == "one2many" else seen[0].max(-1).values
    best = rank.topk(arch.decoder.queries + 1, 1).values[:, -2:]
    gap = float((best[:, 0] - best[:, 1]).min())
    outputs = {}
    for name, value in out.items():
        order = by_token[..., None].expand(-1, -1, value.shape[2])
        outputs[name] = value.detach() if name.startswith("dn") else value.detach().gather(1, order)
    gradients = {name: value.grad for name, value in network.named_parameters() if value.requires_grad}
    buffers = {name: value for name, value in network.named_buffers() if name.endswith(("running_mean", "running_var"))}
    return {"outputs": outputs, "gradients": {**gradients, "input": images.grad}, "buffers": buffers}, tokens, gap


def columns(name, exact, single):
    """A row of a table: what is told about a tensor."""
    exact, single = (value.detach().double().flatten().numpy() for value in (exact, single))
    norm = float(np.sqrt((exact * exact).sum()))
    place = (prng.bits("sample:" + name, 0, SAMPLES) % exact.size).astype(np.int64)
    projection = float((exact * prng.uniform("projection:" + name, 0, exact.shape)).sum())
    noise = float(np.sqrt(((exact - single) ** 2).sum()))
    return exact[place], norm, projection, noise


def record(arch, h, w, full=False):
    """-> tensors and metadata of the file."""
    exact, tokens, gap = differentiate(arch, h, w, torch.float64)
    single, same, _ = differentiate(arch, h, w, torch.float32)
    if gap < CLEAR or not torch.equal(tokens, same):
        raise SystemExit(f"gradients: at {h}x{w} rounding may change which tokens are selected (the margin is "
                         f"{gap:.1e}); take another size")
    queries = denoising(arch.decoder.classes)
    state = {"tokens": tokens.int(), "denoising.labels": queries.labels, "denoising.boxes": queries.boxes}
    metadata = {"arch": arch.name, "size": f"{h}x{w}", "groups": str(queries.groups)}
    for table, rows in exact.items():
        metadata[table] = "\n".join(rows)
        values = zip(*(columns(name, value, single[table][name]) for name, value in rows.items()))
        for column, kind, data in zip(COLUMNS, (np.float32, np.float64, np.float64, np.float32), values):
            state[f"{table}.{column}"] = torch.from_numpy(np.array(data, kind))
    if full:
        state.update({"GRADIENT:" + name: value.float() for name, value in exact["gradients"].items()})
    return state, metadata


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch")
    parser.add_argument("size", type=lambda text: tuple(int(side) for side in text.split("x")))
    parser.add_argument("out")
    parser.add_argument("--full", action="store_true", help="also all gradients, whole")
    options = parser.parse_args()
    state, metadata = record(preset(options.arch), *options.size, options.full)
    checkpoint.write_safetensors(options.out, state, metadata)
    for table in ("outputs", "gradients", "buffers"):
        norm, noise = state[f"{table}.norm"], state[f"{table}.noise"]
        relative = noise / (norm + 1e-4 * norm.max())
        name = metadata[table].split("\n")[int(relative.argmax())]
        print(f"{table}: {len(norm)} rows; float32 off by {relative.median():.1e}, at most {relative.max():.1e} "
              f"({name})")


if __name__ == "__main__":
    main()
