# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where two levels of an encoder meet: CSP (RT-DETR), or ELAN with CSPs inside (D-FINE, DEIMv2); SiLU everywhere."""
import torch
from torch import nn

from .blocks import ConvNorm, RepVGG


def unit(inputs, out, kernel=1, stride=1):
    return ConvNorm(inputs, out, kernel, stride, act="silu")


class CSP(nn.Module):
    """Two 1x1: one through the RepVGG blocks, one past them; their sum, brought to `out` channels where it is not."""

    def __init__(self, inputs, width, out, depth):
        super().__init__()
        self.conv1 = unit(inputs, width)
        self.conv2 = unit(inputs, width)
        self.bottlenecks = nn.Sequential(*(RepVGG(width) for _ in range(depth)))
        self.conv3 = unit(width, out) if width != out else nn.Identity()

    def forward(self, x):
        return self.conv3(self.bottlenecks(self.conv1(x)) + self.conv2(x))


class CSP2(nn.Module):
    """The same with one 1x1, whose second half goes through the blocks."""

    def __init__(self, inputs, width, depth):
        super().__init__()
        self.conv1 = unit(inputs, 2 * width)
        self.bottlenecks = nn.Sequential(*(RepVGG(width) for _ in range(depth)))

    def forward(self, x):
        past, through = self.conv1(x).chunk(2, 1)
        return past + self.bottlenecks(through)


class ELAN(nn.Module):
    """1x1 to two halves; the second goes through two CSPs in a row (elan4: each with a 3x3); 1x1 over all four."""

    def __init__(self, arch, inputs):
        super().__init__()
        hidden, width = arch.hidden, arch.width

        def branch(inputs):
            csp = CSP2(inputs, width, arch.depth) if arch.csp2 else CSP(inputs, width, width, arch.depth)
            return nn.Sequential(csp, unit(width, width, 3)) if arch.fusion == "elan4" else nn.Sequential(csp)

        self.cv1 = unit(inputs, 2 * hidden)
        self.cv2 = branch(hidden)
        self.cv3 = branch(width)
        self.cv4 = unit(2 * hidden + 2 * width, hidden)

    def forward(self, x):
        halves = self.cv1(x)
        y = self.cv2(halves.chunk(2, 1)[1])
        return self.cv4(torch.cat([halves, y, self.cv3(y)], 1))


def fusion_block(arch):
    inputs = arch.hidden if arch.sum or arch.kind == "lite" else 2 * arch.hidden
    return CSP(inputs, arch.width, arch.hidden, arch.depth) if arch.fusion == "csp" else ELAN(arch, inputs)
