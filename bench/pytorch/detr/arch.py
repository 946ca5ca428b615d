# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every value that decides what a network looks like, and the published networks as rows of them.

The words are those of engine/models/arch.h, and the table that of engine/models/table.c: two readers of one
specification, so that a wrong value shows as a difference.
"""
from dataclasses import dataclass, replace

HEADS = 8  # of every attention in every network of the family


@dataclass(frozen=True)
class Stage:
    """One stage of HGNetv2."""

    inputs: int
    mid: int
    out: int
    blocks: int
    light: bool  # layers are 1x1 + depthwise
    kernel: int
    layers: int  # in a block


@dataclass(frozen=True)
class Backbone:
    kind: str  # hgnetv2, presnet, dla
    stem: tuple = ()  # HGNetv2: mid, out
    stages: tuple = ()  # HGNetv2: Stage; PResNet: blocks of each
    first_stage: int = 1  # of those handed to the encoder
    bottleneck: bool = False  # PResNet 50 and up
    lab: bool = False  # HGNetv2: learnable affine blocks
    rt_names: bool = False  # HGNetv2 as RT-DETR's repository names its parts
    frozen: bool = False  # BatchNorm's values are all buffers, and never those of the batch

    @property
    def channels(self):
        """Of the maps handed to the encoder, from the finest."""
        if self.kind == "hgnetv2":
            return [stage.out for stage in self.stages][self.first_stage:]
        return [(256 if self.bottleneck else 64) << s for s in range(self.first_stage, 4)]


@dataclass(frozen=True)
class Encoder:
    kind: str  # hybrid, lite
    hidden: int
    layers: int  # AIFI
    ff: int
    fusion: str  # csp (RT-DETR), elan4 (D-FINE, DEIMv2 up to S), elan5 (DEIMv2 from M on)
    width: int  # of the CSP in a fusion block
    depth: int  # RepVGG blocks in it
    csp2: bool = False  # one 1x1 in two halves, instead of two 1x1
    sum: bool = False  # levels are added, instead of concatenated
    v1_names: bool = False


@dataclass(frozen=True)
class Decoder:
    kind: str  # rtdetr; dfine; deim (DEIMv2)
    hidden: int
    points: tuple  # of each level
    projected: bool  # has decoder.input_proj
    layers: int
    eval_idx: int  # the last one that is run outside training
    ff: int  # SwiGLU: half of w12's rows
    act: str
    queries: int
    classes: int = 80
    select: str = "default"  # agnostic, one2many
    sampling: str = "bilinear"  # discrete
    learned_content: bool = False
    denoising: bool = True  # has denoising_class_embed
    gate: bool = True
    share_bbox: bool = False
    share_score: bool = False
    query_pos_layers: int = 3
    layer_scale: int = 1  # layers after eval_idx are so many times wider
    up: float = 0.5
    reg_scale: int = 4
    v1_names: bool = False


@dataclass(frozen=True)
class Arch:
    name: str
    backbone: Backbone
    encoder: Encoder
    decoder: Decoder
    input: tuple  # height, width

    @property
    def strides(self):
        """Pixels per token, from the finest level."""
        first = 4 << self.backbone.first_stage
        return [first << level for level in range(len(self.decoder.points))]


# --------------------------------------------------------------- backbones

S0 = (16, 16, 64, 1, False, 3, 3)
S1 = (64, 32, 256, 1, False, 3, 3)
# name: stem, stages
HGNETV2 = {
    "Atto": ((16, 16), (S0, S1, (256, 64, 256, 1, True, 3, 3))),
    "Femto": ((16, 16), (S0, S1, (256, 64, 512, 1, True, 5, 3))),
    "Pico": ((16, 16), (S0, S1, (256, 64, 512, 2, True, 5, 3))),
    "B0": ((16, 16), (S0, S1, (256, 64, 512, 2, True, 5, 3), (512, 128, 1024, 1, True, 5, 3))),
    "B2": ((24, 32), ((32, 32, 96, 1, False, 3, 4), (96, 64, 384, 1, False, 3, 4), (384, 128, 768, 3, True, 5, 4),
                      (768, 256, 1536, 1, True, 5, 4))),
    "B4": ((32, 48), ((48, 48, 128, 1, False, 3, 6), (128, 96, 512, 1, False, 3, 6), (512, 192, 1024, 3, True, 5, 6),
                      (1024, 384, 2048, 1, True, 5, 6))),
    "B5": ((32, 64), ((64, 64, 128, 1, False, 3, 6), (128, 128, 512, 2, False, 3, 6), (512, 256, 1024, 5, True, 5, 6),
                      (1024, 512, 2048, 2, True, 5, 6))),
    "B6": ((48, 96), ((96, 96, 192, 2, False, 3, 6), (192, 192, 512, 3, False, 3, 6), (512, 384, 1024, 6, True, 5, 6),
                      (1024, 768, 2048, 3, True, 5, 6))),
}
# depth: blocks, bottleneck
PRESNET = {18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True), 101: ((3, 4, 23, 3), True)}


def make_backbone(name, **values):
    if name in HGNETV2:
        stem, stages = HGNETV2[name]
        return Backbone("hgnetv2", stem, tuple(Stage(*stage) for stage in stages), **values)
    if name in PRESNET:
        blocks, bottleneck = PRESNET[name]
        return Backbone("presnet", stages=blocks, bottleneck=bottleneck, **values)
    return Backbone("dla", **values)


# ------------------------------------------------------------ the networks

# family: decoder, activation, query_pos_layers, v1 names
FAMILIES = {
    "DEIMv2": ("deim", "silu", 3, False),
    "DEIM-D-FINE": ("dfine", "silu", 2, False),
    "D-FINE": ("dfine", "relu", 2, False),
    "DEIM-RT-DETRv2": ("rtdetr", "silu", 3, False),
    "RT-DETRv2": ("rtdetr", "relu", 2, False),
    "RT-DETR": ("rtdetr", "relu", 2, True),
}

# Rows: name, backbone, flags, encoder (hidden, AIFI layers, their ff, CSP width, depth), decoder (layers, eval_idx,
# ff). Flags: l LAB, f frozen norms, 2 two levels, 5 ELAN5, r ReLU, d discrete sampling.
_S, _M, _L, _X = (256, 1, 1024, 64, 1), (256, 1, 1024, 128, 2), (256, 1, 1024, 128, 3), (384, 1, 2048, 192, 3)
_HALF, _FULL, _WIDE = (256, 1, 1024, 128, 3), (256, 1, 1024, 256, 3), (384, 1, 2048, 384, 3)
ROWS = {
    "DEIMv2": [
        ("deimv2_atto", "Atto", "l2", (64, 0, 0, 10, 2), (3, 2, 80), {"queries": 100, "input": (320, 320)}),
        ("deimv2_femto", "Femto", "l2", (96, 0, 0, 16, 2), (3, 2, 128), {"queries": 150, "input": (416, 416)}),
        ("deimv2_pico", "Pico", "l2", (112, 0, 0, 19, 2), (3, 2, 160), {"queries": 200}),
        ("deimv2_n", "B0", "l2", (128, 1, 512, 21, 2), (3, 2, 256)),
        ("deimv2_s", "B0", "l", _S, (3, 2, 1024)),
        ("deimv2_m", "B2", "l5", _M, (4, 3, 1024)),
        ("deimv2_l", "B4", "5", _L, (6, 5, 1024)),
        ("deimv2_x", "B5", "f5", _X, (6, 5, 1024)),
    ],
    "DEIM-D-FINE": [
        ("deim_dfine_n", "B0", "l2", (128, 1, 512, 21, 2), (3, 2, 512)),
        ("deim_dfine_s", "B0", "l", _S, (3, 2, 1024)),
        ("deim_dfine_m", "B2", "l", _M, (4, 3, 1024)),
        ("deim_dfine_l", "B4", "", _L, (6, 5, 1024)),
        ("deim_dfine_x", "B5", "", _X, (6, 5, 1024)),
        ("deim_dfine_x_obj2coco", "B5", "fr", _X, (6, 5, 1024)),
    ],
    "D-FINE": [
        ("dfine_n", "B0", "l2", (128, 1, 512, 21, 2), (3, 2, 512)),
        ("dfine_s", "B0", "l", _S, (3, 2, 1024)),
        ("dfine_m", "B2", "l", _M, (4, 3, 1024)),
        ("dfine_l", "B4", "f", _L, (6, 5, 1024)),
        ("dfine_x", "B5", "f", _X, (6, 5, 1024)),
    ],
    "DEIM-RT-DETRv2": [
        ("deim_r18", 18, "", _HALF, (3, 2, 1024)),
        ("deim_r34", 34, "", _HALF, (4, 3, 1024)),
        ("deim_r50m", 50, "", _HALF, (3, 2, 1024)),
        ("deim_r50", 50, "", _FULL, (6, 5, 1024)),
        ("deim_r101", 101, "", _WIDE, (6, 5, 1024)),
    ],
    "RT-DETRv2": [
        ("rtdetrv2_r18", 18, "", _HALF, (3, 2, 1024)),
        ("rtdetrv2_r34", 34, "", _HALF, (4, 3, 1024)),
        ("rtdetrv2_r50m", 50, "f", _HALF, (6, 2, 1024)),
        ("rtdetrv2_r50", 50, "f", _FULL, (6, 5, 1024)),
        ("rtdetrv2_r101", 101, "f", _WIDE, (6, 5, 1024)),
        ("rtdetrv2_r18_dsp", 18, "d", _HALF, (3, 2, 1024)),
        ("rtdetrv2_r34_dsp", 34, "d", _HALF, (4, 3, 1024)),
        ("rtdetrv2_r50m_dsp", 50, "fd", _HALF, (6, 2, 1024)),
        ("rtdetrv2_r50_dsp", 50, "fd", _FULL, (6, 5, 1024)),
        ("rtdetrv2_r18_sp1", 18, "", _HALF, (3, 2, 1024), {"points": (1, 1, 1)}),
        ("rtdetrv2_r18_sp2", 18, "", _HALF, (3, 2, 1024), {"points": (2, 2, 2)}),
        ("rtdetrv2_r18_sp3", 18, "", _HALF, (3, 2, 1024), {"points": (3, 3, 3)}),
        ("rtdetrv2_hgl", "B4", "f", _FULL, (6, 5, 1024)),
        ("rtdetrv2_hgx", "B5", "f", _WIDE, (6, 5, 1024)),
        ("rtdetrv2_hgh", "B6", "f", (512, 2, 2048, 512, 3), (6, 5, 1024)),
    ],
    "RT-DETR": [
        ("rtdetr_r18", 18, "", _HALF, (3, 2, 1024)),
        ("rtdetr_r34", 34, "", _HALF, (4, 3, 1024)),
        ("rtdetr_r50m", 50, "f", _HALF, (6, 2, 1024)),
        ("rtdetr_r50", 50, "f", _FULL, (6, 5, 1024)),
        ("rtdetr_r101", 101, "f", _WIDE, (6, 5, 1024)),
        ("rtdetr_dla34", "dla34", "", _FULL, (6, 5, 1024)),
    ],
}


def _expand(family, name, backbone, flags, encoder, decoder, other=None):
    kind, act, query_pos_layers, v1_names = FAMILIES[family]
    other = dict(other or {})
    rt, deimv2 = kind == "rtdetr", kind == "deim"
    hidden, aifi, ff, width, depth = encoder
    lite, two = aifi == 0, "2" in flags
    points = (4, 2) if lite else (4, 4, 4) if rt else (6, 6) if two else (3, 6, 3)
    return Arch(
        name=name,
        backbone=make_backbone(backbone, first_stage=2 if two else 1, lab="l" in flags, frozen="f" in flags,
                               rt_names=rt and backbone in HGNETV2),
        encoder=Encoder(kind="lite" if lite else "hybrid", hidden=hidden, layers=aifi, ff=ff,
                        fusion="csp" if rt else "elan5" if "5" in flags else "elan4", width=width, depth=depth,
                        csp2=deimv2, sum=deimv2, v1_names=v1_names),
        decoder=Decoder(kind=kind, hidden=min(hidden, 256), points=other.get("points", points),
                        projected=rt or hidden > 256, layers=decoder[0], eval_idx=decoder[1], ff=decoder[2],
                        act="relu" if "r" in flags else act, queries=other.get("queries", 300),
                        sampling="discrete" if "d" in flags else "bilinear", gate=not rt and not lite, share_bbox=lite,
                        query_pos_layers=query_pos_layers, reg_scale=8 if hidden == 384 and not rt else 4,
                        v1_names=v1_names),
        input=other.get("input", (640, 640)),
    )


PRESETS = {row[0]: _expand(family, *row) for family, rows in ROWS.items() for row in rows}


def preset(name, **decoder_values):
    """The published network of that name; values of the decoder may be replaced: preset("deim_dfine_n", classes=20)."""
    if name not in PRESETS:
        raise KeyError(f"there is no network called {name}; there are {' '.join(PRESETS)}")
    arch = PRESETS[name]
    return replace(arch, decoder=replace(arch.decoder, **decoder_values))
