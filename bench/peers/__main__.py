# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures gst-deim and its peers in turn: the same network and input size, as many threads, this machine.

A pair is one run of gst-deim and one of a peer, one after the other, each a process of its own, so that a machine
that slows down slows both; which goes first alternates. The table has the medians over the runs, and of the ratios
within pairs the median and the range: below 1 gst-deim is faster. Milliseconds are per frame, of wall clock and of
processor time in all threads. For a peer on the CPU gst-deim runs on Mesa's lavapipe, for one on a GPU on the GPU.
"""
import argparse
import json
import os
import statistics
import sys
from dataclasses import asdict, dataclass, field

import models
from machine import ROOT, Unavailable, mesa_environment, processor, python_with_torch, say
from runners import PEERS, GstDeim

COLUMNS = ("network", "peer", "gst-deim, ms", "peer, ms", "ratio", "range", "gst-deim, CPU ms", "peer, CPU ms",
           "CPU ratio", "range")


@dataclass
class Comparison:
    network: str
    peer: str
    ours: list = field(default_factory=list)
    theirs: list = field(default_factory=list)

    def line(self):
        def spread(key):
            ours, theirs = ([getattr(run, key) for run in runs] for runs in (self.ours, self.theirs))
            if not theirs:
                return f"{statistics.median(ours):.1f}", "-", "-", "-"
            ratios = [a / b for a, b in zip(ours, theirs)]
            return (f"{statistics.median(ours):.1f}", f"{statistics.median(theirs):.1f}",
                    f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}")

        notes = sorted({run.note for run in self.theirs if run.note})
        peer = f"{self.peer} ({', '.join(notes)})" if notes else self.peer
        return [self.network, peer, *spread("wall"), *spread("cpu")]


def compare(deim, peer, model, frames, pairs, comparison):
    """peer: None where there is none"""
    if not peer:
        say(f"{model.name} alone")
        comparison.ours.extend(deim.measure(model, frames, on_cpu=True) for _ in range(pairs))
        return
    for pair in range(1, pairs + 1):
        say(f"{model.name} against {peer.title}: pair {pair} of {pairs}")
        ours = lambda: deim.measure(model, frames, peer.on_cpu)  # noqa: E731
        theirs = lambda: peer.measure(model, frames)  # noqa: E731
        if pair % 2:
            a, b = ours(), theirs()
        else:
            b, a = theirs(), ours()
        comparison.ours.append(a)
        comparison.theirs.append(b)


def measure_all(options, deim, peers, comparisons, missing):
    """Fills the three lists as it goes, so that an interruption leaves what there is."""
    python = python_with_torch()
    measured = []
    for name in options.models:
        try:
            measured.append(models.prepare(name, python))
        except Unavailable as why:
            missing.append(str(why))
    for checkpoint, onnx in options.files:
        measured.append(models.of_files(checkpoint, onnx))
    for name in options.peers:
        try:
            peers.append(PEERS[name](options.threads))
        except Unavailable as why:
            missing.append(f"{name}: {why}")
    for model in measured:
        frames = options.frames or model.frames
        for peer in peers or [None]:
            comparisons.append(Comparison(model.name, peer.title if peer else "none"))
            try:
                compare(deim, peer, model, frames, options.pairs, comparisons[-1])
            except Unavailable as why:
                missing.append(str(why))


def print_table(comparisons):
    lines = [comparison.line() for comparison in comparisons if comparison.ours]
    if lines:
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for line in lines:
        print(f"| {' | '.join(line)} |")


def parse():
    parser = argparse.ArgumentParser(prog="bench/peers.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="CHECKPOINT ONNX",
                        help="pairs of a checkpoint and its export, measured instead of --models")
    parser.add_argument("--models", metavar="LIST", help=f"networks by name, with commas: {', '.join(models.KNOWN)}, "
                        f"or any that `deim info --list` knows (default: {models.DEFAULT})")
    parser.add_argument("--peers", metavar="LIST", default=",".join(PEERS),
                        help=f"of {', '.join(PEERS)} (default: all)")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="of each network and peer (default: 5)")
    parser.add_argument("--frames", type=int, metavar="N", help="frames of a run (default: what takes some seconds)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="of each (default: as many as there are processors)")
    parser.add_argument("--mesa", nargs="?", const="", metavar="FOLDER", help="gst-deim with the Mesa of Debian 12's "
                        "backports, downloaded into FOLDER if it is not there (see bench/mesa-backports.sh)")
    parser.add_argument("--deim", default=str(ROOT / "build" / "tools" / "deim"), metavar="PROGRAM",
                        help="another build's deim")
    parser.add_argument("--json", metavar="FILE", help="write every run there as well")
    options = parser.parse_args()
    if len(options.files) % 2:
        parser.error("files come in pairs: CHECKPOINT ONNX")
    options.files = list(zip(options.files[::2], options.files[1::2]))
    names = options.models if options.models is not None else "" if options.files else models.DEFAULT
    options.models = [name for name in names.split(",") if name]
    options.peers = [name for name in options.peers.split(",") if name]
    unknown = [name for name in options.peers if name not in PEERS]
    if unknown:
        parser.error(f"there is no peer called {unknown[0]}; there are {', '.join(PEERS)}")
    if options.pairs < 1 or options.threads < 1 or (options.frames is not None and options.frames < 1):
        parser.error("--pairs, --frames and --threads begin at 1")
    return options


def report(options, deim, peers, comparisons, missing, load):
    on_cpu = not peers or any(peer.on_cpu for peer in peers)
    print(f"gst-deim on {deim.driver(on_cpu)}.")
    for peer in peers:
        print(f"{peer.title} {peer.about}.")
    print(f"{processor()[0]}; {options.threads} threads each; {options.pairs} pairs. Load when it began: {load:.1f}.\n")
    print_table(comparisons)
    if missing:
        print()
    for why in missing:
        print(f"Not measured: {why}.")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([asdict(comparison) for comparison in comparisons], file, indent=1)


def main():
    options, peers, comparisons, missing = parse(), [], [], []
    load, status = os.getloadavg()[0], 0
    try:
        mesa = mesa_environment(options.mesa) if options.mesa is not None else {}
        deim = GstDeim(options.deim, options.threads, mesa)
        try:
            measure_all(options, deim, peers, comparisons, missing)
        except KeyboardInterrupt:
            say("interrupted; this is what there was until then")
            status = 130
        report(options, deim, peers, comparisons, missing, load)
    except Unavailable as why:
        sys.exit(f"peers: {why}")
    return status


if __name__ == "__main__":
    sys.exit(main())
