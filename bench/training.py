#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares a training step of gst-deim with one of PyTorch:  bench/training.py [--deim build/tools/deim] [CASE...]

A case is ARCH:HxW:BATCH:DENOISING; without any, those of docs/training.md. Both run in turn on this machine, so what else
happens there meets both; ratios are of processor time. gst-deim's step is a whole one with matching and losses, PyTorch's
has none (bench/pytorch/step.py). Memory is the most that a process had, with its device if that is the CPU.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = ["deimv2_atto:320x320:8:100", "deimv2_atto:192x192:8:100", "deimv2_atto:160x160:8:100",
         "deimv2_atto:160x160:8:50", "deimv2_atto:160x160:16:50"]


def run(command):
    """-> what it says, and its peak memory in bytes."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"training: {' '.join(command)} failed")
    return said, usage.ru_maxrss * 1024


def ours(deim, folder, case, index):
    arch, size, batch, denoising = case.split(":")
    said, memory = run([deim, "train", "--data", folder, "--model", arch, "--input", size, "--batch", batch,
                        "--denoising", denoising, "--epochs", "3", "--evaluate", "3", "--light", "--profile",
                        "--output", os.path.join(folder, f"run{index}")])
    phases = re.search(r"milliseconds each:(.*)", said).group(1).split("  ")[1:]
    return {name: float(ms) for name, ms in (phase.rsplit(" ", 1) for phase in phases)}, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deim", default=os.path.join(HERE, "..", "build", "tools", "deim"))
    parser.add_argument("--python", default="/usr/bin/python3", help="one that has torch")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    print("| network, input, batch, denoising | processor ms per step | of which: forward, backward, loss, rest (wall, %) "
          "| PyTorch | ratio | memory, PyTorch's |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, count, seed in (("train", 32, 1), ("val", 1, 2)):
            run([options.deim, "dataset", "synth", "--output", os.path.join(folder, name), "--count", str(count),
                 "--seed", str(seed)])
        for index, case in enumerate(options.cases or CASES):
            arch, size, batch, denoising = case.split(":")
            phases, memory = ours(options.deim, folder, case, index)
            said, peer_memory = run([options.python, os.path.join(HERE, "pytorch", "step.py"), arch, size, "--batch", batch,
                                     "--denoising", denoising])
            peer = json.loads(said)
            whole = phases.pop("processor")
            wall = sum(phases.values())
            parts = [phases.pop(key) for key in ("forward", "backward", "loss")] + [sum(phases.values())]
            shares = ", ".join(f"{100 * part / wall:.0f}" for part in parts)
            print(f"| {arch}, {size}, {batch}, {denoising} | {whole:.0f} | {shares} | {peer['processor']:.0f} | "
                  f"{whole / peer['processor']:.2f} | {memory / 2**30:.2f}, {peer_memory / 2**30:.2f} GiB |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
