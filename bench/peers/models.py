# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured: networks, and the files that gst-deim and its peers read them from.

Atto and Femto have real weights and official exports in ../shared, where that is. All others get made-up weights
(speed does not depend on them) and an export from our PyTorch network, once: they are kept in the cache until
that network changes.
"""
import hashlib
import json
import os
import pathlib
from dataclasses import dataclass

from machine import CACHE, ROOT, Unavailable, run, say

# short name: network, frames of a run that take some seconds on a CPU
KNOWN = {
    "atto": ("deimv2_atto", 40), "femto": ("deimv2_femto", 30), "pico": ("deimv2_pico", 15),
    "n": ("deim_dfine_n", 10), "s": ("deim_dfine_s", 5), "m": ("deim_dfine_m", 4), "l": ("deim_dfine_l", 3),
    "x": ("deim_dfine_x", 3), "r18": ("deim_r18", 4), "r34": ("deim_r34", 4), "r50": ("deim_r50", 3),
}
OTHER_FRAMES = 4
DEFAULT = "atto,femto,n,s,r18"


@dataclass
class Model:
    name: str  # for the table
    arch: str  # of our table of networks; None where a file of the user's is measured
    checkpoint: pathlib.Path
    onnx: pathlib.Path  # or None
    reference: pathlib.Path  # prefix of .input and .json: a picture, and what PyTorch finds in it; or None
    frames: int


def _sources():
    """A digest of all that exports depend on."""
    folder, digest = ROOT / "bench" / "pytorch", hashlib.sha256()
    for path in sorted([*(folder / "detr").glob("*.py"), folder / "prng.py", folder / "prepare.py"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _shared(arch):
    """Real weights and export of a network, if they are here."""
    folder = pathlib.Path(os.environ.get("DEIM_SHARED") or ROOT / ".." / "shared") / "real"
    name = arch.replace("deimv2_", "deimv2_hgnetv2_") + "_coco"
    files = folder / f"{name}.safetensors", folder / "onnx" / f"{name}.onnx"
    return files if all(file.exists() for file in files) else None


def prepare(name, python):
    """The Model called @name, its files made where they are missing. python: one that has PyTorch, or None."""
    arch, frames = KNOWN.get(name, (name, OTHER_FRAMES))
    prefix = CACHE / "peers" / arch
    stamp = prefix.with_suffix(".stamp")
    real = _shared(arch)
    checkpoint, onnx = real or (pathlib.Path(f"{prefix}.safetensors"), pathlib.Path(f"{prefix}.onnx"))
    key = f"{_sources()} {checkpoint}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != key:
        if python:
            say(f"{arch}: preparing its files (a few minutes for the larger ones)")
            prefix.parent.mkdir(parents=True, exist_ok=True)
            given = ["--checkpoint", checkpoint, "--no-onnx"] if real else []
            run([python, ROOT / "bench" / "pytorch" / "prepare.py", arch, prefix, *given])
            stamp.write_text(key, encoding="utf-8")
        elif not real:
            raise Unavailable(f"{arch}: there are no weights, and no PyTorch to make some (Debian: python3-torch)")
    return Model(arch, arch, checkpoint, onnx, prefix if stamp.exists() else None, frames)


def of_files(checkpoint, onnx, frames=30):
    """A checkpoint and an export of it that the user gives: nothing is known about it but that."""
    for file in (checkpoint, onnx):
        if not pathlib.Path(file).is_file():
            raise Unavailable(f"there is no file {file}")
    return Model(pathlib.Path(checkpoint).stem, None, pathlib.Path(checkpoint), pathlib.Path(onnx), None, frames)


def differences(found, reference):
    """How far detections are from the reference ones, (score, pixels) of each that is clear of the last score, sorted.
    Each is compared with the nearest of its label. Both are {labels, boxes, scores}."""
    def detections(result):
        return list(zip(result["labels"], result["scores"], result["boxes"]))

    def off(a, b):
        return abs(a[1] - b[1]), max(abs(x - y) for x, y in zip(a[2], b[2]))

    theirs, last = detections(found), min(reference["scores"])
    nearest = [min((off(detection, other) for other in theirs if other[0] == detection[0]),
                   key=lambda distance: 1e3 * distance[0] + distance[1], default=(1.0, 1e9))
               for detection in detections(reference) if detection[1] >= last + 1e-3]
    return sorted(score for score, _ in nearest), sorted(pixels for _, pixels in nearest)


def check_export(model, find):
    """Unavailable unless find(model, input) agrees with PyTorch: to 1e-3 in scores and 0.2 pixels, which is several
    times what float32 leaves with real weights. Of discrete sampling 95 % must: where a place rounds to the other pixel
    a query moves."""
    reference = json.loads(model.reference.with_suffix(".json").read_text(encoding="utf-8"))
    scores, pixels = differences(find(model, model.reference.with_suffix(".input")), reference)
    if not scores:
        raise Unavailable(f"{model.name}: PyTorch's scores are all alike, which checks nothing")
    which = int((0.95 if model.arch.endswith("_dsp") else 1) * (len(scores) - 1))
    found = f"scores to {scores[which]:.1e}, boxes to {pixels[which]:.1e} pixels"
    if not (scores[which] < 1e-3 and pixels[which] < 0.2):
        raise Unavailable(f"{model.name}: the export does not find what PyTorch does ({found})")
    say(f"{model.name}: the export agrees with PyTorch ({found}, of {len(scores)} detections)")
