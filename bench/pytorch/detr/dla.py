# SPDX-License-Identifier: LGPL-2.1-or-later
"""DLA-34: residual blocks strung into trees whose roots see all that the tree made."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import ConvNorm, fold_norm

WIDTHS = (16, 32, 64, 128, 256, 512)  # of level0 .. level5


def indexed(inputs, out, kernel=1, stride=1, act="relu"):
    return ConvNorm(inputs, out, kernel, stride, act=act, names=("0", "1"))


class Block(nn.Module):
    """relu (bn2 (conv2 (relu (bn1 (conv1 x)))) + residual)"""

    def __init__(self, inputs, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x, residual):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + residual)

    def fold(self):
        self.conv1, self.bn1 = fold_norm(self.conv1, self.bn1)
        self.conv2, self.bn2 = fold_norm(self.conv2, self.bn2)


class Tree(nn.Module):
    """Two blocks and a root over [second, first, extra ..]."""

    def __init__(self, inputs, out, stride, extra):
        super().__init__()
        self.stride = stride
        self.project = indexed(inputs, out, act=None) if inputs != out else None
        self.tree1 = Block(inputs, out, stride)
        self.tree2 = Block(out, out, 1)
        self.root = ConvNorm(2 * out + extra, out, act="relu", names=("conv", "bn"))

    def forward(self, x, extra=()):
        bottom = F.max_pool2d(x, 2) if self.stride == 2 else x
        first = self.tree1(x, bottom if self.project is None else self.project(bottom))
        return self.root(torch.cat([self.tree2(first, first), first, *extra], 1))


class PooledTree(Tree):
    """Its root also sees the pooled input."""

    def __init__(self, inputs, out):
        super().__init__(inputs, out, 2, inputs)

    def forward(self, x):
        return super().forward(x, [F.max_pool2d(x, 2)])


class TreeOfTrees(nn.Module):
    """The second root also sees the pooled input and the first tree."""

    def __init__(self, inputs, out):
        super().__init__()
        self.tree1 = Tree(inputs, out, 2, 0)
        self.tree2 = Tree(out, out, 1, inputs + out)

    def forward(self, x):
        first = self.tree1(x)
        return self.tree2(first, [F.max_pool2d(x, 2), first])


class DLA(nn.Module):
    """Picture [B, 3, h, w] -> level3, level4, level5."""

    def __init__(self, arch):
        super().__init__()
        a, b, c, d, e, f = WIDTHS
        self.model = nn.Sequential()
        for name, module in (("base_layer", indexed(3, a, 7)), ("level0", indexed(a, a, 3)),
                             ("level1", indexed(a, b, 3, 2)), ("level2", Tree(b, c, 2, 0)),
                             ("level3", TreeOfTrees(c, d)), ("level4", TreeOfTrees(d, e)),
                             ("level5", PooledTree(e, f))):
            self.model.add_module(name, module)

    def forward(self, x):
        maps = [x]
        for module in self.model:
            maps.append(module(maps[-1]))
        return maps[-3:]
