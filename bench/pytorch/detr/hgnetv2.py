# SPDX-License-Identifier: LGPL-2.1-or-later
"""The backbone of D-FINE, DEIM and DEIMv2, and under other names of RT-DETR L, X, H.

Every unit is convolution, BatchNorm, ReLU, and with `lab` a learnable affine block; units without activation have none.
"""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import ConvNorm


class Stem(nn.Module):
    """[B, 3, h, w] -> [B, out, h/4, w/4]"""

    def __init__(self, arch, unit):
        super().__init__()
        mid, out = arch.stem
        two = {"kernel": 2, "pad_end": True, "names": ("conv.1" if arch.rt_names else "conv", "bn")}
        self.stem1 = unit(3, mid, 3, 2)
        self.stem2a = unit(mid, mid // 2, **two)
        self.stem2b = unit(mid // 2, mid, **two)
        self.stem3 = unit(2 * mid, mid, 3, 2)
        self.stem4 = unit(mid, out)

    def forward(self, x):
        x = self.stem1(x)
        pool = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)  # sees the zeros of the padding
        x = torch.cat([pool, self.stem2b(self.stem2a(x))], 1)
        return self.stem4(self.stem3(x))


class LightLayer(nn.Module):
    def __init__(self, inputs, out, kernel, unit):
        super().__init__()
        self.conv1 = unit(inputs, out, act=None)
        self.conv2 = unit(out, out, kernel, depthwise=True)

    def forward(self, x):
        return self.conv2(self.conv1(x))


class Block(nn.Module):
    """All layers' outputs side by side, squeezed to out/2 and widened to out."""

    def __init__(self, stage, first, rt_names, unit):
        super().__init__()
        inputs = stage.inputs if first else stage.out

        def layer(inputs):
            if stage.light:
                return LightLayer(inputs, stage.mid, stage.kernel, unit)
            return unit(inputs, stage.mid, stage.kernel)

        self.layers = nn.ModuleList(layer(stage.mid if i else inputs) for i in range(stage.layers))
        squeeze = unit(inputs + stage.layers * stage.mid, stage.out // 2)
        widen = unit(stage.out // 2, stage.out)
        self.residual = not first
        self.rt_names = rt_names
        if rt_names:
            self.aggregation_squeeze_conv, self.aggregation_excitation_conv = squeeze, widen
        else:
            self.aggregation = nn.Sequential(squeeze, widen)

    def forward(self, x):
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        y = torch.cat(maps, 1)
        y = (self.aggregation_excitation_conv(self.aggregation_squeeze_conv(y)) if self.rt_names
             else self.aggregation(y))
        return y + x if self.residual else y


class Section(nn.Module):
    """A stage: from the second on it begins with a depthwise 3x3 of stride 2."""

    def __init__(self, stage, down, rt_names, unit):
        super().__init__()
        self.downsample = unit(stage.inputs, stage.inputs, 3, 2, depthwise=True, act=None) if down else None
        self.blocks = nn.Sequential(*(Block(stage, i == 0, rt_names, unit) for i in range(stage.blocks)))

    def forward(self, x):
        return self.blocks(x if self.downsample is None else self.downsample(x))


class HGNetv2(nn.Module):
    """Picture [B, 3, h, w] -> the maps of the returned stages."""

    def __init__(self, arch):
        super().__init__()

        def unit(inputs, out, kernel=1, stride=1, act="relu", names=("conv", "bn"), **values):
            return ConvNorm(inputs, out, kernel, stride, act=act, names=names, lab=arch.lab, frozen=arch.frozen,
                            **values)

        self.stem = Stem(arch, unit)
        self.stages = nn.ModuleList(Section(stage, i > 0, arch.rt_names, unit)
                                    for i, stage in enumerate(arch.stages))
        self.first = arch.first_stage

    def forward(self, x):
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1 + self.first:]
