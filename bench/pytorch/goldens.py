#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the PyTorch networks with numbers of the official implementation:  goldens.py [FOLDER] [PREFIX]...

FOLDER holds golden sets (open/ and arch/): tests/data/golden by default. Sets whose names begin with a PREFIX are
run, all without one. Per set: the table of networks says what the official configuration says; the official names and
shapes are loaded with strict=True; logits and boxes of every query agree within what float32 leaves, and so do
intermediate tensors. Prints TAP.
"""
import json
import pathlib
import sys
import time
import zlib
from dataclasses import asdict

import numpy as np
import torch

import prng
import taps
from config import arch_of
from detr.arch import PRESETS
from detr.network import Network

SMALL = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "golden"
# Where a coordinate rounds to the other pixel one query moves, and a little all others: 95 % must be within these.
DISCRETE = {"logits": 5e-3, "boxes": 5e-4}
FLOOR = {"logits": 2e-4, "boxes": 2e-5}


class Different(Exception):
    pass


class GoldenSet:
    def __init__(self, folder, name):
        folder = pathlib.Path(folder)
        self.name = name
        self.golden = json.loads((folder / "open" / f"{name}.json").read_text())
        self.binary = (folder / "open" / f"{name}.bin").read_bytes()
        self.params = json.loads((folder / self.golden["params"]).read_text())["params"]
        crc = folder / self.golden["params"].replace(".params.", ".crc.")
        self.crc = json.loads(crc.read_text()) if crc.exists() else {}
        self.cases = self.golden["cases"]
        self.size = self.golden["H"], self.golden["W"]
        self.arch = arch_of(self.golden["model"], self.golden["arch"], [row[0] for row in self.params])

    def array(self, case, key):
        place = case[key]
        values = np.frombuffer(self.binary, "<" + place["dtype"], int(np.prod(place["shape"])), place["offset"])
        return torch.from_numpy(values.reshape(place["shape"]).copy())

    def check_table(self):
        """The row of our table for this network, if it has one, against the official configuration."""
        preset = PRESETS.get(self.arch.name)
        if not preset:
            return
        for part in ("backbone", "encoder", "decoder"):
            ours, theirs = (asdict(getattr(arch, part)) for arch in (preset, self.arch))
            wrong = [f"{part}.{key} is {ours[key]} in the table, officially {theirs[key]}" for key in ours
                     if ours[key] != theirs[key]]
            if wrong:
                raise Different("; ".join(wrong))

    def weights(self, constants):
        """The official state dict: names from the set, values from the rule, constants of the architecture from
        @constants (where the number of anchors is that of the set's size, while names and shapes are listed for one
        size)."""
        state = {}
        for name, shape, _, kind, *rest in self.params:
            if kind == "alias":
                state[name] = state[rest[0]]
            elif kind in ("const", "zero_i64"):
                if name not in constants:
                    raise Different(f"there is no {name} in our network")
                state[name] = constants[name]
                if len(shape) != state[name].dim() or (len(shape) < 3 and list(state[name].shape) != shape):
                    raise Different(f"{name} has the shape {list(state[name].shape)}, officially {shape}")
            else:
                values = prng.tensor(name, tuple(shape), self.golden["seed"], self.arch.decoder.kind == "deim")
                if name in self.crc and zlib.crc32(values.tobytes()) != self.crc[name]:
                    raise Different(f"{name}: the generator gives other numbers than it should")
                state[name] = torch.from_numpy(values)
        return state

    def network(self):
        network = Network(self.arch, *self.size).eval()
        network.load_state_dict(self.weights(network.state_dict()), strict=True)
        return network

    def picture(self, case):
        return torch.from_numpy(prng.picture(case["image"], case["image_seed"], *self.size))[None]

    def ranks(self, case, tokens):
        """Where the golden queries are among ours: queries are known by their token, their order is not reproducible.
        With learnt content it is the rank that counts."""
        golden = self.array(case, "topk_index").long()
        if self.arch.decoder.learned_content:
            return torch.arange(len(golden))
        place = {int(token): rank for rank, token in enumerate(tokens)}
        missing = [int(token) for token in golden if int(token) not in place]
        if missing:
            raise Different(f"{len(missing)} selected tokens differ, such as {missing[:3]}")
        return torch.tensor([place[int(token)] for token in golden])

    def limit(self, case, key):
        if self.arch.decoder.sampling == "discrete":
            return DISCRETE[key]
        noise = case.get(f"{key}_maxdiff_f64") or self.cases[0].get(f"{key}_maxdiff_f64") or 0
        return max((20 if self.arch.decoder.kind == "deim" else 10) * noise, FLOOR[key])

    def compare(self, case, logits, boxes, tokens):
        """Rows of queries against the golden ones. Returns a report; raises Different."""
        ranks, worst = self.ranks(case, tokens[0]), {}
        rows = self.array(case, "logits_rows").long() if "logits_rows" in case else torch.arange(len(ranks))
        for key, ours, golden in (("logits", logits[0][ranks[rows]], self.array(case, "logits")),
                                  ("boxes", boxes[0][ranks], self.array(case, "boxes"))):
            off = (ours - golden).abs().max(1).values.sort().values
            quantile = 0.95 if self.arch.decoder.sampling == "discrete" else 1
            worst[key] = float(off[int(quantile * (len(off) - 1))])
            if not worst[key] <= self.limit(case, key):
                raise Different(f"{key} off by {worst[key]:.2g}, allowed {self.limit(case, key):.2g}")
        return f"{case['image']}: logits {worst['logits']:.1e} boxes {worst['boxes']:.1e}"


def check(golden):
    golden.check_table()
    network = golden.network()
    report = []
    for case in golden.cases:
        with torch.no_grad(), taps.recording(network) as record:
            logits, boxes, tokens = network(golden.picture(case))
        # Where the selection differs, taps before it still tell where it went wrong.
        try:
            report.append(golden.compare(case, logits, boxes, tokens))
            failure = None
        except Different as why:
            failure = why
        wrong = taps.first_difference(golden, case, record, tokens)
        if failure or wrong:
            raise Different(f"{case['image']} image: {failure or 'outputs agree'}; first difference at {wrong}")
    return ", ".join(report)


def names(folder, prefixes):
    found = sorted(path.stem for path in (pathlib.Path(folder) / "open").glob("*.json"))
    return [name for name in found if not prefixes or name.startswith(tuple(prefixes))]


def main(arguments):
    folder = arguments[0] if arguments else SMALL
    found = names(folder, arguments[1:])
    if not found:
        sys.exit(f"goldens: {folder} has no such sets")
    print(f"1..{len(found)}", flush=True)
    failed = 0
    for number, name in enumerate(found, 1):
        start = time.monotonic()
        try:
            report = check(GoldenSet(folder, name))
            print(f"ok {number} {name}\n# {report} ({time.monotonic() - start:.1f} s)", flush=True)
        except (Different, RuntimeError) as why:
            failed += 1
            print(f"not ok {number} {name}\n# {why}".replace("\n\t", "\n# \t"), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
