#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks at what `deim convert` writes without any code of ours: test-convert.py DEIM SOURCE_ROOT. Prints TAP.

Real checkpoints are converted, and the file is read here as its format is published: layout, names and shapes against
the official state dict. Where this python or /usr/bin/python3 has torch, also: a module with the official parameters
takes the file with load_state_dict (strict=True), and every value is that of the checkpoint, to the bit.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

WIDTH = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
# file, the names and shapes it has
FILES = [("real/deimv2_hgnetv2_atto_coco.pth", "deimv2_atto"), ("real/deimv2_hgnetv2_femto_coco.pth", "deimv2_femto"),
         ("golden/ckpt/atto_full.pth", "deimv2_atto"), ("golden/ckpt/atto_legacy.pth", "deimv2_atto"),
         ("golden/ckpt/atto_ddp_half.pth", "deimv2_atto"), ("golden/ckpt/atto_model_bf16.pth", "deimv2_atto")]

# Run by a python that has torch: STRICT WRITTEN CHECKPOINT PARAMS.
STRICT = """
import json, struct, sys
import torch

KINDS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "BOOL": torch.bool}
written, checkpoint, params = sys.argv[1:4]
raw = open(written, "rb").read()
length, = struct.unpack("<Q", raw[:8])
state = {}
for name, entry in json.loads(raw[8:8 + length]).items():
    if name != "__metadata__":
        begin, end = entry["data_offsets"]
        data = bytearray(raw[8 + length + begin:8 + length + end])
        state[name] = torch.frombuffer(data, dtype=KINDS[entry["dtype"]]).reshape(entry["shape"])

root = torch.nn.Module()
for name, shape, *_ in json.load(open(params))["params"]:
    *path, leaf = name.split(".")
    module = root
    for part in path:
        if part not in module._modules:
            module.add_module(part, torch.nn.Module())
        module = module._modules[part]
    module.register_buffer(leaf, torch.zeros(shape, dtype=state[name].dtype))
root.load_state_dict(state, strict=True)

original = torch.load(checkpoint, map_location="cpu")
if "ema" in original:
    original = original["ema"]["module"]
elif "model" in original:
    original = original["model"]
original = {name[7:] if name.startswith("module.") else name: value for name, value in original.items()}
assert original.keys() == state.keys(), original.keys() ^ state.keys()
for name, value in original.items():
    assert value.dtype == state[name].dtype and value.shape == state[name].shape, name
    flat = value.contiguous().reshape(-1), state[name].reshape(-1)
    width = flat[0].element_size()
    bits = [x.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[width])
            if x.dtype != torch.bool else x for x in flat]
    assert torch.equal(*bits), name
print("same", len(original))
"""

count = 0


def report(good, name, why=""):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} {name}", flush=True)
    if why:
        print("# " + str(why).replace("\n", "\n# "), flush=True)


def skip(name, why):
    global count
    count += 1
    print(f"ok {count} {name} # SKIP {why}", flush=True)


def check_layout(raw):
    """The header of a safetensors file; an AssertionError where a rule of the format is broken."""
    length, = struct.unpack("<Q", raw[:8])
    text = raw[8:8 + length]
    assert length % 8 == 0, "the header's length is no multiple of 8"
    assert text[:1] == b"{" and text.rstrip(b" ")[-1:] == b"}", "the header is not JSON padded with spaces"
    header = json.loads(text)
    at = 0
    for name, entry in header.items():
        if name == "__metadata__":
            assert all(isinstance(value, str) for value in entry.values()), "metadata that is no text"
            continue
        begin, end = entry["data_offsets"]
        size = WIDTH[entry["dtype"]]
        for side in entry["shape"]:
            size *= side
        assert begin == at and end == begin + size, f"{name}: offsets {begin} to {end}, expected {at} to {at + size}"
        assert (8 + length + begin) % WIDTH[entry["dtype"]] == 0, f"{name} is not aligned"
        at = end
    assert 8 + length + at == len(raw), "bytes are left over at the end"
    return header


def check_file(deim, path, params, written, torch):
    name = os.path.basename(path)
    done = subprocess.run([deim, "convert", path, written], capture_output=True, text=True)
    report(done.returncode == 0, f"{name} is converted", done.stderr)
    if done.returncode:
        return
    raw = open(written, "rb").read()
    try:
        header = check_layout(raw)
        metadata = header.pop("__metadata__")
        assert metadata["format"] == "pt"
        assert ":" in metadata["deim.arch"] and len(metadata["deim.labels"].split("\n")) == 80, metadata
        expected = {row[0]: row[1] for row in json.load(open(params))["params"]}
        found = {key: entry["shape"] for key, entry in header.items()}
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        for key, shape in expected.items():
            assert found[key] == shape, f"{key}: {found[key]}, officially {shape}"
        report(True, f"{name} has the official names and shapes")
    except (AssertionError, KeyError, ValueError) as why:
        report(False, f"{name} has the official names and shapes", repr(why))
        return
    again = subprocess.run([deim, "info", written], capture_output=True, text=True)
    notes = again.stdout[again.stdout.find("Decided"):].splitlines()
    report(again.returncode == 0 and notes and all("metadata" in note for note in notes),
           f"nothing about {name} is guessed any more", again.stdout + again.stderr)
    if not torch:
        skip(f"{name} in PyTorch", "no torch here (Debian: python3-torch)")
        return
    strict = subprocess.run([torch, "-c", STRICT, written, path, params], capture_output=True, text=True)
    report(strict.returncode == 0 and strict.stdout.startswith("same"), f"{name} in PyTorch",
           strict.stdout + strict.stderr)


def main():
    deim, root = sys.argv[1:3]
    shared = os.environ.get("DEIM_SHARED", os.path.join(root, "..", "shared"))
    sys.path.insert(0, os.path.join(root, "bench", "peers"))
    from machine import python_with_torch

    torch = None
    for file, model in FILES:
        path = os.path.join(shared, file)
        params = os.path.join(shared, "golden", "arch", model + ".params.json")
        if not os.path.exists(path) or not os.path.exists(params):
            skip(file, "no shared folder: set DEIM_SHARED")
            continue
        torch = torch or python_with_torch()
        with tempfile.TemporaryDirectory() as folder:
            check_file(deim, path, params, os.path.join(folder, "out.safetensors"), torch)
    print(f"1..{count}")


main()
