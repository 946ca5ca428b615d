# SPDX-License-Identifier: LGPL-2.1-or-later
"""The small pieces that every network is made of.

A unit that deployment can simplify has a method fold(), which keeps its arithmetic (up to rounding) and may be called
once training is over; see network.deploy().
"""
import torch
import torch.nn.functional as F
from torch import nn

from .arch import HEADS

ACT = {None: lambda x: x, "relu": F.relu, "silu": F.silu, "gelu": F.gelu}


class FrozenNorm(nn.Module):
    """BatchNorm of which nothing is learned, nor taken from the batch."""

    def __init__(self, channels, eps=1e-5):
        super().__init__()
        self.eps = eps
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class Affine(nn.Module):
    """LAB: one scale and one bias for the whole map."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.scale * x + self.bias


def fold_norm(conv, norm):
    """A convolution that does the norm's work as well, and what stays in the norm's place."""
    if isinstance(norm, nn.Identity):
        return conv, norm
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                       groups=conv.groups).to(conv.weight)
    with torch.no_grad():
        folded.weight.copy_(conv.weight.double() * scale[:, None, None, None])
        folded.bias.copy_(norm.bias.double() - norm.running_mean.double() * scale)
    return folded, nn.Identity()


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm, activation, and in some HGNetv2 a learnable affine block.

    names: of convolution and norm, as the state dict has them; "conv.1" is a convolution that follows its padding in
    a Sequential. pad_end: one zero right and below (2x2 kernels), else (kernel - 1) / 2 on all sides.
    """

    def __init__(self, inputs, out, kernel=1, stride=1, depthwise=False, act=None, names=("conv", "norm"),
                 pad_end=False, lab=False, frozen=False):
        super().__init__()
        self.act, self.pad_end = ACT[act], pad_end
        self.names = names
        conv = nn.Conv2d(inputs, out, kernel, stride, 0 if pad_end else (kernel - 1) // 2,
                         groups=inputs if depthwise else 1, bias=False)
        if names[0] == "conv.1":
            self.names = ("conv", names[1])
            conv = nn.Sequential(nn.Identity(), conv)
        self.add_module(self.names[0], conv)
        self.add_module(self.names[1], (FrozenNorm if frozen else nn.BatchNorm2d)(out))
        self.lab = Affine() if lab and act else None

    def forward(self, x):
        if self.pad_end:
            x = F.pad(x, (0, 1, 0, 1))
        conv, norm = (getattr(self, name) for name in self.names)
        x = self.act(norm(conv(x)))
        return x if self.lab is None else self.lab(x)

    def fold(self):
        """Returns the convolution that is left."""
        conv, norm = (getattr(self, name) for name in self.names)
        conv, norm = fold_norm(conv[1] if isinstance(conv, nn.Sequential) else conv, norm)
        setattr(self, self.names[0], conv)
        setattr(self, self.names[1], norm)
        return conv


class RepVGG(nn.Module):
    """SiLU (BN (3x3) + BN (1x1)), channels unchanged."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvNorm(channels, channels, 3)
        self.conv2 = ConvNorm(channels, channels, 1)

    def forward(self, x):
        y = self.conv1(x)
        return F.silu(y if self.conv2 is None else y + self.conv2(x))

    def fold(self):
        """The 1x1 becomes part of the centre of the 3x3."""
        if self.conv2 is None:
            return
        large, small = self.conv1.fold(), self.conv2.fold()
        with torch.no_grad():
            large.weight += F.pad(small.weight, (1, 1, 1, 1))
            large.bias += small.bias
        self.conv2 = None


class MLP(nn.Module):
    """layers.0 .. layers.n-1, the activation between them: inputs -> hidden -> .. -> out"""

    def __init__(self, inputs, hidden, out, n, act):
        super().__init__()
        widths = [inputs] + [hidden] * (n - 1) + [out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.act = ACT[act]

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        return self.layers[-1](x)


class RMSNorm(nn.Module):
    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.scale


class SwiGLU(nn.Module):
    """w3 (silu (a) * b), where w12 makes a and b."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.w12 = nn.Linear(channels, 2 * hidden)
        self.w3 = nn.Linear(hidden, channels)

    def forward(self, x):
        a, b = self.w12(x).chunk(2, -1)
        return self.w3(F.silu(a) * b)


class SelfAttention(nn.Module):
    """The arithmetic and names of torch.nn.MultiheadAttention over tokens [B, T, d]; q = k = x + pos, v = x.

    hidden: bool [T, T], True where the row's token may not look at the column's.
    """

    def __init__(self, channels):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x, pos, hidden=None):
        batch, tokens, d = x.shape
        both = F.linear(x + pos, self.in_proj_weight[:2 * d], self.in_proj_bias[:2 * d])
        value = F.linear(x, self.in_proj_weight[2 * d:], self.in_proj_bias[2 * d:])
        q, k, v = (t.reshape(batch, tokens, HEADS, d // HEADS).transpose(1, 2) for t in (*both.chunk(2, -1), value))
        if hasattr(F, "scaled_dot_product_attention"):  # PyTorch 2
            y = F.scaled_dot_product_attention(q, k, v, None if hidden is None else ~hidden)
        else:
            weights = q * (d // HEADS) ** -0.5 @ k.transpose(2, 3)
            if hidden is not None:
                weights = weights.masked_fill(hidden, float("-inf"))
            y = weights.softmax(-1) @ v
        return self.out_proj(y.transpose(1, 2).reshape(batch, tokens, d))


def inverse_sigmoid(x, eps=1e-5):
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))
