#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The PyTorch networks of bench/pytorch, with which others are compared: test-pytorch.py SOURCE_ROOT [--all]

They give the official numbers of the golden sets (the committed ones; --all: those of ../shared), with official names
and shapes loaded strictly, also when deployed; the committed gradients are what autograd gives; real checkpoints load.
Skipped where neither this python nor the system's has PyTorch. Prints TAP.
"""
import os
import pathlib
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
SHARED = pathlib.Path(os.environ.get("DEIM_SHARED", ROOT / ".." / "shared"))
sys.path[:0] = [str(ROOT / "bench" / "pytorch"), str(ROOT / "bench" / "peers")]

try:
    import torch
except ImportError:
    from machine import python_with_torch

    python = python_with_torch()
    if not python:
        print("1..0 # SKIP no PyTorch here (Debian: python3-torch)")
        sys.exit(0)
    os.execv(python, [python, __file__, *sys.argv[1:]])

import gradients  # noqa: E402
import goldens  # noqa: E402
from detr import checkpoint  # noqa: E402
from detr.arch import PRESETS, preset  # noqa: E402
from detr.denoising import noisy_queries  # noqa: E402
from detr.network import Network, deploy  # noqa: E402

count = 0
failed = 0


class Skip(Exception):
    pass


def case(name, function, *arguments):
    """A test: it passes if the function returns (a note), and fails with what it raises."""
    global count, failed
    count += 1
    try:
        note = function(*arguments)
        print(f"ok {count} {name}")
    except Skip as why:
        print(f"ok {count} {name} # SKIP {why}")
        note = None
    except Exception as why:  # a wrong network may raise anything
        failed += 1
        print(f"not ok {count} {name}")
        note = f"{type(why).__name__}: {why}"
    if note:
        print("# " + str(note).replace("\n", "\n# "))
    sys.stdout.flush()


# ------------------------------------------------------------------ cases


def deployed(name):
    """Folding is the same network: the golden numbers again, with twice the room."""
    golden = goldens.GoldenSet(goldens.SMALL, name)
    picture = golden.cases[0]
    network = golden.network()
    with torch.no_grad():
        plain = network(golden.picture(picture))
        folded = deploy(network)(golden.picture(picture))
    left = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not left, f"{len(left)} norms are left"
    same = torch.equal(plain[2].sort().values, folded[2].sort().values)
    assert same, "other tokens are selected"
    order = [tokens[0].argsort() for tokens in (plain[2], folded[2])]
    for key, a, b in zip(("logits", "boxes"), plain, folded):
        off = float((a[0][order[0]] - b[0][order[1]]).abs().max())
        limit = 2 * golden.limit(picture, key)
        assert off <= limit, f"{key} off by {off:.2g}, allowed {limit:.2g}"


def same_gradients(path):
    """Autograd gives what the file has, in float64 to the rounding of another summation order."""
    state, metadata = checkpoint.read_safetensors(path)
    height, width = (int(side) for side in metadata["size"].split("x"))
    tables, tokens, _ = gradients.differentiate(preset(metadata["arch"]), height, width, torch.float64)
    assert torch.equal(tokens.int(), state["tokens"]), "other tokens are selected"
    for table, rows in tables.items():
        assert "\n".join(rows) == metadata[table], f"other {table}"
        scale = float(state[f"{table}.norm"].max())
        for i, (name, value) in enumerate(rows.items()):
            samples, norm, projection, _ = gradients.columns(name, value, value)
            limit = 1e-6 * float(state[f"{table}.norm"][i]) + 1e-12 * scale
            off = max(abs(norm - float(state[f"{table}.norm"][i])),
                      abs(projection - float(state[f"{table}.projection"][i])) / len(value.flatten()) ** 0.5,
                      float((torch.from_numpy(samples) - state[f"{table}.samples"][i].double()).abs().max()))
            assert off <= limit, f"{table} {name}: off by {off:.2g}, allowed {limit:.2g}"
    return f"{len(tables['gradients'])} gradients, {len(tables['outputs'])} outputs"


def denoising_is_apart():
    """Denoising queries change nothing about the others, a group does not see another, and gradients arrive at their
    embedding but not at its padding."""
    torch.manual_seed(1)
    network = gradients.calm(Network(preset("deimv2_atto"), 160, 192)).double().train()
    picture = torch.from_numpy(gradients.pictures(160, 192)).double()
    queries = gradients.denoising(80)
    plain, with_noise = network(picture), network(picture, queries)
    assert torch.equal(plain["tokens"], with_noise["tokens"])
    off = float((plain["main.logits"] - with_noise["main.logits"]).abs().max())
    assert off < 1e-9, f"selected queries moved by {off:.2g}"
    half = queries.labels.shape[1] // 2
    queries.boxes[:, half:] *= 0.9
    moved = network(picture, queries)
    off = (moved["dn2.logits"] - with_noise["dn2.logits"]).abs().amax((0, 2))
    assert float(off[:half].max()) < 1e-9 < float(off[half:].max()), "groups see each other"
    moved["dn2.logits"].sum().backward()
    gradient = network.decoder.denoising_class_embed.weight.grad
    assert float(gradient[:-1].abs().max()) > 0 == float(gradient[-1].abs().max())


def noise_is_contrastive():
    """noisy_queries(): near boxes overlap the truth more than far ones, and padding has the class of nothing."""
    generator = torch.Generator().manual_seed(1)
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.3, 0.6, 0.3, 0.1], [0.7, 0.4, 0.1, 0.3]])
    made = noisy_queries([(torch.tensor([1, 2, 3]), boxes), (torch.tensor([4]), boxes[:1])], 80, generator=generator)
    assert made.groups == 33 and made.labels.shape == (2, 198), (made.groups, made.labels.shape)
    distance = (made.boxes[0] - boxes.repeat(66, 1)).abs().sum(1).reshape(33, 2, 3).mean((0, 2))
    assert distance[0] < distance[1], distance
    padding = made.labels[1].reshape(66, 3)[:, 1:]
    assert bool((padding == 80).all()) and float(made.boxes.min()) >= 0 and float(made.boxes.max()) <= 1
    kept = float((made.labels[0].reshape(66, 3) == torch.tensor([1, 2, 3])).double().mean())
    assert 0.6 < kept < 0.9, kept
    assert noisy_queries([(torch.zeros(0), torch.zeros(0, 4))], 80) is None


def real_weights(size):
    path = SHARED / "real" / f"deimv2_hgnetv2_{size}_coco.safetensors"
    if not path.exists():
        raise Skip("no ../shared")
    network = checkpoint.load(Network(preset(f"deimv2_{size}")), path).eval()
    import numpy as np

    folder, height = SHARED / "real" / "open", PRESETS[f"deimv2_{size}"].input[0]
    if not (folder / f"input_{size}_139.npy").exists():
        return f"{height} x {height}"
    with torch.no_grad():
        logits, boxes, _ = network(torch.from_numpy(np.load(folder / f"input_{size}_139.npy")))
    worst = 0.0
    for theirs, corner in zip(np.load(folder / f"logits_{size}_139.npy"), np.load(folder / f"boxes_{size}_139.npy")):
        off = (logits[0] - torch.from_numpy(theirs)).abs().amax(1) + (boxes[0] - torch.from_numpy(corner)).abs().amax(1)
        worst = max(worst, float(off.min()))
    assert worst < 5e-3, f"queries off by {worst:.2g}"
    return f"queries off by at most {worst:.1e}"


def main():
    if "--all" in sys.argv:
        folder = SHARED / "golden"
        if not folder.exists():
            print("1..0 # SKIP no ../shared")
            return 0
        for name in goldens.names(folder, []):
            case(name, lambda name=name: goldens.check(goldens.GoldenSet(folder, name)))
    else:
        for name in goldens.names(goldens.SMALL, []):
            case(f"golden {name}", lambda name=name: goldens.check(goldens.GoldenSet(goldens.SMALL, name)))
        for name in ("deimv2_atto_320x320_1", "rtdetr_r18_320x320_1", "dfine_n_320x320_1", "rtdetr_dla34_320x320_1"):
            case(f"deployed {name}", deployed, name)
        for path in sorted((ROOT / "tests" / "data" / "gradients").glob("*.safetensors")):
            case(f"gradients {path.stem}", same_gradients, path)
        case("denoising queries stand apart", denoising_is_apart)
        case("denoising noise is contrastive", noise_is_contrastive)
        for size in ("atto", "femto"):
            case(f"real {size}", real_weights, size)
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
