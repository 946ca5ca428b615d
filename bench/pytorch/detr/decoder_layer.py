# SPDX-License-Identifier: LGPL-2.1-or-later
"""One layer of a deformable decoder: self-attention, attention at sampled points, feed-forward; all post-norm."""
import torch
import torch.nn.functional as F
from torch import nn

from .arch import HEADS
from .blocks import ACT, RMSNorm, SelfAttention, SwiGLU


def sample_bilinear(value, places):
    """value [N, c, h, w], places [N, Q, P, 2] in 0..1 over the map -> [N, c, Q, P]; zero outside."""
    return F.grid_sample(value, 2 * places - 1, mode="bilinear", padding_mode="zeros", align_corners=False)


def sample_discrete(value, places):
    """The pixel that a place lies in, clamped to the map; x by the height as well, as officially."""
    h, w = value.shape[2:]
    pixel = (places * places.new_tensor([w, h]) + 0.5).long()
    x, y = pixel[..., 0].clamp(0, min(h, w) - 1), pixel[..., 1].clamp(0, h - 1)
    index = (y * w + x).flatten(1)[:, None].expand(-1, value.shape[1], -1)
    return value.flatten(2).gather(2, index).reshape(*value.shape[:2], *places.shape[1:3])


class DeformableAttention(nn.Module):
    """Every query looks at a few points of every level, placed relative to its box; one softmax over all of them.

    Offsets shrink with the number of points of their level (num_points_scale, 1/n of each).
    """

    def __init__(self, channels, arch):
        super().__init__()
        self.points = arch.points
        total = sum(arch.points)
        self.sample = sample_discrete if arch.sampling == "discrete" else sample_bilinear
        self.sampling_offsets = nn.Linear(channels, HEADS * total * 2)
        self.attention_weights = nn.Linear(channels, HEADS * total)
        scale = torch.tensor([1 / n for n in arch.points for _ in range(n)])
        self.register_buffer("num_points_scale", scale, persistent=not arch.v1_names)
        if arch.kind == "rtdetr":
            self.value_proj = nn.Linear(channels, channels)
            self.output_proj = nn.Linear(channels, channels)
        else:
            self.value_proj = self.output_proj = nn.Identity()

    def forward(self, query, boxes, memory, sizes):
        """query [B, Q, d], boxes [B, Q, 4] cxcywh, memory [B, T, d], sizes: (h, w) of each level -> [B, Q, d]"""
        batch, queries, d = query.shape
        total, width = sum(self.points), d // HEADS
        offsets = self.sampling_offsets(query).reshape(batch, queries, HEADS, total, 2)
        weights = self.attention_weights(query).reshape(batch, queries, HEADS, total).softmax(-1)
        centre, size = boxes[:, :, None, None].split(2, -1)
        places = centre + offsets * self.num_points_scale[:, None] * size * 0.5
        places = places.transpose(1, 2).flatten(0, 1).split(self.points, 2)  # per level [B*heads, Q, points, 2]
        value = self.value_proj(memory).transpose(1, 2).reshape(batch * HEADS, width, memory.shape[1])
        levels = value.split([h * w for h, w in sizes], 2)
        samples = torch.cat([self.sample(level.reshape(batch * HEADS, width, *hw), place)
                             for level, hw, place in zip(levels, sizes, places)], 3)
        y = (samples * weights.transpose(1, 2).reshape(batch * HEADS, 1, queries, total)).sum(3)
        return self.output_proj(y.reshape(batch, d, queries).transpose(1, 2))


class Gateway(nn.Module):
    """norm (g1 * x + g2 * y), the gates made of both."""

    def __init__(self, channels, norm):
        super().__init__()
        self.gate = nn.Linear(2 * channels, 2 * channels)
        self.norm = norm(channels)

    def forward(self, x, y):
        mine, other = self.gate(torch.cat([x, y], -1)).sigmoid().chunk(2, -1)
        return self.norm(mine * x + other * y)


class DecoderLayer(nn.Module):
    def __init__(self, arch, scale=1):
        super().__init__()
        d, ff = scale * arch.hidden, scale * arch.ff
        norm = RMSNorm if arch.kind == "deim" else nn.LayerNorm
        self.clamp = arch.kind != "rtdetr"
        self.self_attn = SelfAttention(d)
        self.norm1 = norm(d)
        self.cross_attn = DeformableAttention(d, arch)
        if arch.gate:
            self.gateway = Gateway(d, norm)
        else:
            self.norm2 = norm(d)
        if arch.kind == "deim":
            self.swish_ffn = SwiGLU(d, ff)
        else:
            self.linear1 = nn.Linear(d, ff)
            self.linear2 = nn.Linear(ff, d)
        self.norm3 = norm(d)
        self.act = ACT[arch.act]

    def feed_forward(self, x):
        return self.swish_ffn(x) if hasattr(self, "swish_ffn") else self.linear2(self.act(self.linear1(x)))

    def forward(self, x, pos, boxes, memory, sizes, hidden=None):
        """x, pos [B, Q, d]; boxes [B, Q, 4]; memory [B, T, d]; hidden: as in SelfAttention"""
        x = self.norm1(x + self.self_attn(x, pos, hidden))
        y = self.cross_attn(x + pos, boxes, memory, sizes)
        x = self.gateway(x, y) if hasattr(self, "gateway") else self.norm2(x + y)
        y = x + self.feed_forward(x)
        return self.norm3(y.clamp(-65504, 65504) if self.clamp else y)
