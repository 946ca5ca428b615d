# SPDX-License-Identifier: LGPL-2.1-or-later
"""ResNet in its variant d: a stem of three 3x3, and shortcuts that average before they project."""
import torch.nn.functional as F
from torch import nn

from .blocks import ConvNorm


class PooledShortcut(nn.Module):
    def __init__(self, inputs, out, unit):
        super().__init__()
        self.conv = unit(inputs, out, act=None)

    def forward(self, x):
        return self.conv(F.avg_pool2d(x, 2, 2))


class Block(nn.Module):
    """Every stage's first block projects its shortcut, whether or not the width changes."""

    def __init__(self, inputs, width, stride, first, bottleneck, unit):
        super().__init__()
        if bottleneck:
            out = 4 * width
            self.branch2a = unit(inputs, width)
            self.branch2b = unit(width, width, 3, stride)
            self.branch2c = unit(width, out, act=None)
        else:
            out = width
            self.branch2a = unit(inputs, width, 3, stride)
            self.branch2b = unit(width, width, 3, act=None)
            self.branch2c = None
        self.short = None
        if first:
            self.short = unit(inputs, out, act=None) if stride == 1 else PooledShortcut(inputs, out, unit)

    def forward(self, x):
        y = self.branch2b(self.branch2a(x))
        if self.branch2c is not None:
            y = self.branch2c(y)
        return F.relu(y + (x if self.short is None else self.short(x)))


class Stage(nn.Module):
    def __init__(self, inputs, width, stride, blocks, bottleneck, unit):
        super().__init__()
        out = 4 * width if bottleneck else width
        self.blocks = nn.Sequential(*(
            Block(out if i else inputs, width, 1 if i else stride, i == 0, bottleneck, unit) for i in range(blocks)))

    def forward(self, x):
        return self.blocks(x)


class PResNet(nn.Module):
    """Picture [B, 3, h, w] -> the maps of the returned stages."""

    def __init__(self, arch):
        super().__init__()

        def unit(inputs, out, kernel=1, stride=1, act="relu"):
            return ConvNorm(inputs, out, kernel, stride, act=act, frozen=arch.frozen)

        self.conv1 = nn.Sequential()
        for i, (inputs, out) in enumerate([(3, 32), (32, 32), (32, 64)]):
            self.conv1.add_module(f"conv1_{i + 1}", unit(inputs, out, 3, 1 if i else 2))
        wide = 4 if arch.bottleneck else 1
        self.res_layers = nn.ModuleList(
            Stage(64 if s == 0 else wide * (32 << s), 64 << s, 2 if s else 1, blocks, arch.bottleneck, unit)
            for s, blocks in enumerate(arch.stages))
        self.first = arch.first_stage

    def forward(self, x):
        maps = [F.max_pool2d(self.conv1(x), 3, 2, 1)]
        for stage in self.res_layers:
            maps.append(stage(maps[-1]))
        return maps[1 + self.first:]
