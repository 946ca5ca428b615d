# SPDX-License-Identifier: LGPL-2.1-or-later
"""The generator that golden sets are made from: numbers, weights, pictures (tests/golden-rule.c is the same in C).

bits(NAME, seed, i) = splitmix64 (fnv1a64 (NAME) + seed * 0x9E3779B97F4A7C15 + i), all modulo 2^64. A weight is
o + s * u with u in [-1, 1) from 24 bits; s and o follow from the tensor's name and shape, chosen so that activations
neither die nor explode. Nothing depends on a library's random numbers.
"""
import math

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def stream(name, seed):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return (h + seed * GOLDEN) & MASK


def bits_at(name, seed, index):
    """uint64, as many as there are in the integer array @index: those numbers of the stream."""
    with np.errstate(over="ignore"):
        z = index.astype(np.uint64) + np.uint64(stream(name, seed)) + np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def bits(name, seed, count):
    """uint64 [count]: the first numbers of the stream."""
    return bits_at(name, seed, np.arange(count))


def uniform_at(name, seed, index):
    """float64 in [-1, 1)."""
    return (bits_at(name, seed, index) >> np.uint64(40)) / 8388608.0 - 1.0


def uniform(name, seed, shape):
    """The same for a whole tensor, C order."""
    return uniform_at(name, seed, np.arange(math.prod(shape))).reshape(shape)


# ----------------------------------------------------------------- weights

CONSTANTS = ("num_batches_tracked", "anchors", "valid_mask", "num_points_scale", "up", "reg_scale")


def _lite_gain(name, shape):
    """DEIMv2's LiteEncoder, whose names are singular."""
    part = name[len("encoder."):] if name.startswith("encoder.") else ""
    gains = {"fpn_block.cv1.conv.weight": 3.5, "fpn_block.cv4.conv.weight": 2.5, "bi_fusion.cv.conv.weight": 2.5,
             "down_sample1.1.weight": 3.0, "down_sample2.1.weight": 1.5, "pan_block.cv1.conv.weight": 1.5,
             "pan_block.cv4.conv.weight": 1.5}
    gain = gains.get(part, 1.1 if part.startswith(("fpn_block.", "pan_block.")) else 0)
    return gain * 0.75 if shape[0] in (112, 224) else gain


def _sum_gain(name, shape):
    """DEIMv2's HybridEncoder, which has the names of D-FINE's."""
    joint = name.startswith(("encoder.fpn_blocks.", "encoder.pan_blocks.")) and name.endswith(
        (".cv1.conv.weight", ".cv4.conv.weight"))
    if joint or name.startswith("encoder.downsample_convs."):
        return 0.85 if shape[0] in (384, 768) else 1.2
    return 0


def _added_gain(name, shape, deimv2):
    if ".aggregation_excitation_conv." in name:
        return 0.7
    if name.startswith("backbone.model."):
        for part, gain in ((".conv2.", 0.8), (".root.conv.", 1.1), (".project.", 1.0)):
            if part in name:
                return gain
    if len(shape) != 4:
        return 0
    return _lite_gain(name, shape) or (_sum_gain(name, shape) if deimv2 else 0)


# The first that applies.
GAINS = (
    (lambda n: ".branch2b." in n, 0.8),
    (lambda n: ".branch2c." in n, 0.9),
    (lambda n: ".short." in n, 1.2),
    (lambda n: ".aggregation.1." in n, 1.1),
    (lambda n: any(part in n for part in (".cv2.0.", ".cv2.1.", ".cv3.0.", ".cv3.1.")), 0.95),
    (lambda n: n.startswith("backbone.stages.") and (".conv1.conv." in n or ".downsample." in n), 1.0),
    (lambda n: n.startswith("encoder.input_proj."), 0.6),
    (lambda n: ".bottlenecks." in n or any(f"_blocks.{i}.conv{k}." in n for i in (0, 1) for k in (1, 2)), 1.15),
    (lambda n: "score_head" in n, 2.0),
    (lambda n: n.endswith(("enc_bbox_head.layers.2.weight", "pre_bbox_head.layers.2.weight")), 0.7),
    (lambda n: "dec_bbox_head" in n and n.endswith("layers.2.weight"), 1.0),
    (lambda n: "query_pos_head" in n, 2.0),
    (lambda n: n.endswith("conv.weight") or n.startswith("backbone."), 1.5),
    (lambda n: True, 1.4),
)


def rule(name, shape, deimv2):
    """(s, o) as float32, or None for the constants of an architecture."""
    leaf = name.rpartition(".")[2]
    if leaf in CONSTANTS:
        return None
    if name.endswith(".lab.scale"):
        s, o = 0.2, 1
    elif name.endswith(".lab.bias"):
        s, o = 0.1, 0
    elif leaf == "scale" or (leaf == "weight" and len(shape) == 1):
        s, o = 0.2, 1
    elif leaf == "running_mean":
        s, o = 0.1, 0
    elif leaf == "running_var":
        s, o = 0.3, 1
    elif name.endswith("sampling_offsets.bias"):
        s, o = 2, 0
    elif "score_head" in name and leaf == "bias":
        s, o = 0.5, -2
    elif leaf in ("bias", "in_proj_bias"):
        s, o = 0.1, 0
    else:
        gain = _added_gain(name, shape, deimv2)
        if not gain and name.endswith("_embed.weight"):
            s, o = 1, 0
        else:
            gain = gain or next(value for applies, value in GAINS if applies(name))
            s, o = gain * math.sqrt(3.0 / math.prod(shape[1:])), 0
    return np.float32(s), np.float32(o)


def tensor(name, shape, seed, deimv2):
    """float32 values of a parameter; None for constants."""
    scales = rule(name, shape, deimv2)
    if scales is None:
        return None
    s, o = (float(x) for x in scales)
    return (o + uniform(name, seed, shape) * s).astype(np.float32)


def fill(network, seed=1):
    """Gives a Network the golden weights of a seed, in place. A tensor of several names takes the first one's
    values."""
    import torch

    deimv2 = network.arch.decoder.kind == "deim"
    seen = set()
    for name, target in network.state_dict(keep_vars=True).items():
        if target.data_ptr() in seen and target.numel():
            continue
        seen.add(target.data_ptr())
        values = tensor(name, tuple(target.shape), seed, deimv2)
        if values is not None:
            with torch.no_grad():
                target.copy_(torch.from_numpy(values))
    return network


# ---------------------------------------------------------------- pictures


def _smooth(seed, h, w):
    y, x = np.mgrid[:h, :w].astype(np.int64)

    def triangle(a):
        return np.abs(a % 512 - 256)

    q = np.stack([triangle(3 * x + y), (triangle(2 * y + 64) + triangle(x)) // 2, triangle(x * y // 64 + 2 * x)])
    random = (bits("picture", seed, 96) >> np.uint64(40)).astype(np.int64).reshape(12, 8)
    for r in random:
        dx, dy = np.abs(x - r[0] % w), np.abs(y - r[1] % h)
        a, b = 8 + r[2] % (w // 4), 8 + r[3] % (h // 4)
        inside = (dx <= a) & (dy <= b) if r[7] & 1 else (dx * b) ** 2 + (dy * a) ** 2 <= (a * b) ** 2
        for c in range(3):
            q[c] = np.where(inside, (q[c] + 3 * (r[4 + c] % 256)) // 4, q[c])
    return np.minimum(q, 255).astype(np.float32) / np.float32(255)


def picture(kind, seed, h, w):
    """float32 [3, h, w] in 0..1; kind: noise, smooth"""
    if kind == "smooth":
        return _smooth(seed, h, w)
    values = bits("input", seed, 3 * h * w) >> np.uint64(40)
    return (values / 16777216.0).astype(np.float32).reshape(3, h, w)
