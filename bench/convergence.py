#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does DEIM converge in half the time? Trains with and without its parts:  bench/convergence.py --output DIR [OPTION...]

The baseline has VFL and neither mosaic nor mixup; "dense" adds those two (Dense O2O), "mal" takes MAL in VFL's place,
"both" does both. The baseline runs for E epochs, each other for E and for E/2, on made-up pictures with one to three
objects. For each arm the learning rate is the one of --rates that was best in E/4 epochs of the first seed. All begin
with the same weights and see the same pictures in the same order, flipped half of the time.

Hours of work: it can be interrupted at any time, and the same command goes on. In the end, and after each training so
far, DIR/convergence.md holds a table and DIR/convergence.svg the curves. --jobs trains several at a time; on a
processor each then computes in one thread, which gets through more of them (networks as small as these leave threads
waiting for each other).
"""
import argparse
import concurrent.futures
import contextlib
import csv
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DENSE = ["--mosaic", "0.5", "--mixup", "0.5"]
ARMS = {
    "baseline": ["--loss", "vfl"],
    "dense": ["--loss", "vfl", *DENSE],
    "mal": ["--loss", "mal"],
    "both": ["--loss", "mal", *DENSE],
}
SEEDED = ("baseline", "both")  # the claim is about these: they run with every seed


def call(command, log=None):
    """Runs it; what it says goes to the file @log if there is one, and then it computes in one thread."""
    environment = {**os.environ, "LP_NUM_THREADS": "0"} if log else None
    with open(log, "a") if log else contextlib.nullcontext() as output:
        if subprocess.run(command, env=environment, stdout=output, stderr=output).returncode:
            raise SystemExit(f"convergence: {' '.join(command)} failed" + (f"; see {log}" if log else ""))


def results(folder):
    """[(iterations, AP)] of a training; whether it is done says its caller."""
    path = os.path.join(folder, "results.csv")
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return [(int(row["iterations"]), float(row["AP"])) for row in csv.DictReader(file) if float(row["AP"]) >= 0]


def merge_classes(path):
    with open(path) as file:
        content = json.load(file)
    content["categories"] = [{"id": 1, "name": "object"}]
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    with open(path, "w") as file:
        json.dump(content, file)


class Experiment:
    def __init__(self, options):
        self.options = options
        self.data = os.path.join(options.output, "data")
        self.backbone = ["--backbone", options.backbone] if options.backbone else []
        settings = json.dumps({key: value for key, value in sorted(vars(options).items())
                               if key not in ("output", "deim", "jobs", "rates", "seeds")})
        path = os.path.join(options.output, "settings.json")
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write(settings)
        with open(path) as file:
            if file.read() != settings:
                raise SystemExit(f"convergence: {options.output} holds runs of other settings (settings.json); give "
                                 "another folder")
        for name, count, seed in (("train", options.pictures, 1), ("val", options.validation, 2)):
            target = os.path.join(self.data, name)
            if not os.path.exists(target):
                call([options.deim, "dataset", "synth", "--split", "sparse", "--output", target + ".part", "--count",
                      str(count), "--seed", str(seed)])
                if options.one_class:
                    merge_classes(os.path.join(target + ".part", "annotations.json"))
                os.rename(target + ".part", target)

    def folder(self, arm, epochs, rate, seed):
        return os.path.join(self.options.output, f"{arm}-{epochs}-{rate:g}-{seed}")

    def train(self, arm, epochs, rate, seed):
        """-> [(iterations, AP)] of the whole training, which may be there already."""
        options, folder = self.options, self.folder(arm, epochs, rate, seed)
        steps = epochs * (options.pictures // options.batch)
        if not any(iterations >= steps for iterations, _ in results(folder)):
            print(f"convergence: {arm}, {epochs} epochs, learning rate {rate:g}, seed {seed}", flush=True)
            call([options.deim, "train", "--resume", "--data", self.data, "--model", options.model, "--output", folder,
                  "--epochs", str(epochs), "--batch", str(options.batch), "--input", options.input, "--denoising", "20",
                  "--lr", str(rate), "--lr-end", "0.05", "--light", "--evaluate", str(max(epochs // 12, 1)), "--seed",
                  str(seed), *self.backbone, *ARMS[arm]], folder + ".log" if options.jobs > 1 else None)
        return results(folder)

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            try:
                self.submit(pool)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def plan(self, whole, half):
        """What the claim is about goes first, so that an experiment that is cut short says something."""
        seeds = range(1, self.options.seeds + 1)
        for seed in seeds:
            yield "both", half, seed
            yield "baseline", whole, seed
        for arm, epochs in (("both", whole), ("mal", half), ("mal", whole), ("dense", half), ("dense", whole)):
            for seed in seeds if arm in SEEDED else (1,):
                yield arm, epochs, seed

    def submit(self, pool):
        options, whole, half = self.options, self.options.epochs, self.options.epochs // 2
        tried = {(arm, rate): pool.submit(self.train, arm, max(whole // 4, 1), rate, 1)
                 for arm in ARMS for rate in options.rates}
        rates = {arm: max(options.rates, key=lambda rate: tried[arm, rate].result()[-1][1]) for arm in ARMS}
        runs = {}
        for arm, epochs, seed in self.plan(whole, half):
            runs.setdefault((arm, epochs), []).append(pool.submit(self.train, arm, epochs, rates[arm], seed))
        for each in concurrent.futures.as_completed([each for several in runs.values() for each in several]):
            each.result()
            done = {key: [each.result() for each in several if each.done()] for key, several in runs.items()}
            report(options, rates, {key: curves for key, curves in done.items() if curves})


def report(options, rates, done):
    lines = ["| | epochs | learning rate | AP of each seed | mean |", "|---|---|---|---|---|"]
    for (arm, epochs), curves in done.items():
        last = [curve[-1][1] for curve in curves]
        lines.append(f"| {arm} | {epochs} | {rates[arm]:g} | {', '.join(f'{ap:.3f}' for ap in last)} | "
                     f"{statistics.mean(last):.3f} |")
    with open(os.path.join(options.output, "convergence.md"), "w") as file:
        file.write("\n".join(lines) + "\n")
    draw(options, done)


def draw(options, done):
    try:
        import matplotlib
    except ImportError:
        print("convergence: no curves without python3-matplotlib", flush=True)
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "convergence"
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4))
    colours = dict(zip(ARMS, ("#000000", "#e69f00", "#56b4e9", "#009e73")))  # apart for colour-blind eyes, too
    for (arm, epochs), curves in done.items():
        for number, curve in enumerate(curves):
            axes.plot(*zip(*curve), color=colours[arm], linestyle="-" if epochs == options.epochs else "--",
                      label=f"{arm}, {epochs} epochs" if number == 0 else None)
    axes.set(xlabel="steps", ylabel="AP")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(os.path.join(options.output, "convergence.svg"), metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--deim", default=os.path.join(HERE, "..", "build", "tools", "deim"))
    parser.add_argument("--model", default="deimv2_atto:queries=30")
    parser.add_argument("--backbone", metavar="CHECKPOINT", help="that all begin with, as the official recipes do")
    parser.add_argument("--one-class", action="store_true",
                        help="all objects are of one class: learned in a fraction of the steps")
    parser.add_argument("--input", default="96x96", metavar="HxW")
    parser.add_argument("--epochs", type=int, default=24, metavar="E")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--validation", type=int, default=300)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time")
    options = parser.parse_args()
    if options.epochs < 4:
        parser.error("--epochs must be at least 4: arms run for half of them, and rates for a quarter")
    os.makedirs(options.output, exist_ok=True)
    Experiment(options).run()


if __name__ == "__main__":
    sys.exit(main())
