# SPDX-License-Identifier: LGPL-2.1-or-later
"""DEIMv2's encoder for one map of stride 16: no transformer, a second level by pooling, one pass down, one up."""
import torch.nn.functional as F
from torch import nn

from .blocks import ConvNorm
from .fusion import fusion_block


class DownSample(ConvNorm):
    """3x3 average (its zeros count) with stride 2, 1x1, BatchNorm, SiLU."""

    def __init__(self, channels):
        super().__init__(channels, channels, act="silu", names=("1", "2"))

    def forward(self, x):
        return super().forward(F.avg_pool2d(x, 3, 2, 1))


class AddMean(nn.Module):
    """To every pixel its channel's mean over the whole map, then 1x1, BatchNorm, SiLU."""

    def __init__(self, channels):
        super().__init__()
        self.cv = ConvNorm(channels, channels, act="silu")

    def forward(self, x):
        return self.cv(x + x.mean((2, 3), keepdim=True))


class LiteEncoder(nn.Module):
    """[map of stride 16] -> maps of strides 16 and 32. `size` is for encoders that have positions."""

    def __init__(self, arch, channels, size):
        super().__init__()
        self.input_proj = nn.ModuleList([ConvNorm(channels[0], arch.hidden)])
        self.down_sample1 = DownSample(arch.hidden)
        self.down_sample2 = DownSample(arch.hidden)
        self.bi_fusion = AddMean(arch.hidden)
        self.fpn_block = fusion_block(arch)
        self.pan_block = fusion_block(arch)

    def forward(self, maps):
        fine = self.input_proj[0](maps[0])
        coarse = self.bi_fusion(self.down_sample1(fine))
        out = self.fpn_block(fine + F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        return [out, self.pan_block(coarse + self.down_sample2(out))]
