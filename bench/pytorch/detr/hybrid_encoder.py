# SPDX-License-Identifier: LGPL-2.1-or-later
"""One width for all levels, self-attention within the coarsest (AIFI), a pass down to the finest and one up again."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import ConvNorm, SelfAttention
from .fusion import fusion_block


def position_table(channels, h, w):
    """float32 [1, h*w, channels]. Token n stands for row n % h, column n // h, although tokens run row by row: for a
    square map a transposition, for others a scramble. The networks were trained so."""
    omega = 1.0 / 10000 ** (torch.arange(channels // 4, dtype=torch.float32) / (channels // 4))
    n = torch.arange(h * w)
    x = torch.div(n, h, rounding_mode="floor").float()[:, None] * omega
    y = (n % h).float()[:, None] * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], 1)[None]


class TransformerLayer(nn.Module):
    """Post-norm, with the exact GELU."""

    def __init__(self, channels, ff):
        super().__init__()
        self.self_attn = SelfAttention(channels)
        self.linear1 = nn.Linear(channels, ff)
        self.linear2 = nn.Linear(ff, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x, pos):
        x = self.norm1(x + self.self_attn(x, pos))
        return self.norm2(x + self.linear2(F.gelu(self.linear1(x))))


class AIFI(nn.Module):
    """Transformer layers over tokens [B, h*w, C]."""

    def __init__(self, channels, ff, layers):
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(channels, ff) for _ in range(layers))

    def forward(self, x, pos):
        for layer in self.layers:
            x = layer(x, pos)
        return x


class SCDown(nn.Module):
    """1x1, then depthwise 3x3 with stride 2; no activation."""

    def __init__(self, channels):
        super().__init__()
        self.cv1 = ConvNorm(channels, channels)
        self.cv2 = ConvNorm(channels, channels, 3, 2, depthwise=True)

    def forward(self, x):
        return self.cv2(self.cv1(x))


class HybridEncoder(nn.Module):
    """Backbone maps, finest first -> as many maps of `hidden` channels."""

    def __init__(self, arch, channels, size):
        """size: (h, w) of the coarsest map, whose position table is kept; others are made when they are needed."""
        super().__init__()
        self.size = size
        self.register_buffer("positions", position_table(arch.hidden, *size), persistent=False)
        hidden, steps = arch.hidden, len(channels) - 1
        rt = arch.fusion == "csp"
        names = ("0", "1") if arch.v1_names else ("conv", "norm")
        self.sum = arch.sum
        # DEIMv2 leaves a map alone that is wide enough already.
        self.input_proj = nn.ModuleList(
            nn.Identity() if arch.csp2 and c == hidden else ConvNorm(c, hidden, names=names) for c in channels)
        self.encoder = nn.ModuleList([AIFI(hidden, arch.ff, arch.layers)] if arch.layers else [])
        self.lateral_convs = nn.ModuleList(ConvNorm(hidden, hidden, act="silu" if rt else None) for _ in range(steps))
        self.fpn_blocks = nn.ModuleList(fusion_block(arch) for _ in range(steps))
        self.downsample_convs = nn.ModuleList(
            ConvNorm(hidden, hidden, 3, 2, act="silu") if rt else nn.Sequential(SCDown(hidden)) for _ in range(steps))
        self.pan_blocks = nn.ModuleList(fusion_block(arch) for _ in range(steps))

    def join(self, a, b):
        return a + b if self.sum else torch.cat([a, b], 1)

    def attend(self, x):
        size = int(x.shape[2]), int(x.shape[3])
        pos = self.positions if size == self.size else position_table(x.shape[1], *size).to(x)
        tokens = self.encoder[0](x.flatten(2).transpose(1, 2), pos)
        return tokens.transpose(1, 2).reshape(x.shape)

    def forward(self, maps):
        levels = [project(x) for project, x in zip(self.input_proj, maps)]
        if self.encoder:
            levels[-1] = self.attend(levels[-1])
        # Down: step 0 is the coarsest. The lateral result takes the level's place, also for the way up.
        for step, (lateral, block) in enumerate(zip(self.lateral_convs, self.fpn_blocks)):
            i = len(levels) - 1 - step
            levels[i] = lateral(levels[i])
            levels[i - 1] = block(self.join(F.interpolate(levels[i], scale_factor=2.0, mode="nearest"), levels[i - 1]))
        out = levels[:1]
        for down, block, level in zip(self.downsample_convs, self.pan_blocks, levels[1:]):
            out.append(block(self.join(down(out[-1]), level)))
        return out
