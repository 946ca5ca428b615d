# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checkpoints: .safetensors read and written, .pth read, always by the official names and strictly."""
import json
import pickle
import struct

import torch

KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
         "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}
NAMES = {kind: name for name, kind in KINDS.items()}


def read_safetensors(path):
    """-> tensors by name, metadata"""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    state = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = KINDS[entry["dtype"]]
        state[name] = (torch.frombuffer(data[begin:end], dtype=kind) if end > begin else torch.empty(0, dtype=kind)
                       ).reshape(entry["shape"])
    return state, metadata


def write_safetensors(path, state, metadata=None):
    header, at = {"__metadata__": {"format": "pt", **(metadata or {})}}, 0
    # By falling width, so that every tensor is aligned.
    order = sorted(state, key=lambda name: -state[name].element_size())
    for name in order:
        size = state[name].numel() * state[name].element_size()
        header[name] = {"dtype": NAMES[state[name].dtype], "shape": list(state[name].shape),
                        "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(state[name].detach().cpu().contiguous().numpy().tobytes())


def read(path):
    """The state dict of a checkpoint: the averaged weights where there are some, without the prefix of distributed
    training. Nothing in a .pth is executed."""
    if str(path).endswith(".safetensors"):
        return read_safetensors(path)[0]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than tensors (an optimizer's state, say), which this PyTorch does not "
                         "read safely: `deim convert` makes a .safetensors of it") from error
    for part in ("ema", "module", "model"):
        state = state.get(part, state) if isinstance(state.get(part, None), dict) else state
    return {name[len("module."):] if name.startswith("module.") else name: value for name, value in state.items()}


def load(network, path):
    network.load_state_dict({name: value.float() if value.is_floating_point() else value
                             for name, value in read(path).items()}, strict=True)
    return network
