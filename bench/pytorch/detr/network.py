# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network of the DEIM family: backbone, encoder, decoder, with the parameter names of the official state dict.

It is a peer in benchmarks (in eager mode, compiled, or exported to ONNX) and the oracle of tests: what gst-deim
computes in C and shaders, forward and backward, is compared with what this computes by PyTorch's own operators and
autograd.
"""
import torch
from torch import nn

from .decoder import RtDetrDecoder
from .dfine_decoder import DfineDecoder
from .dla import DLA
from .hgnetv2 import HGNetv2
from .hybrid_encoder import HybridEncoder
from .lite_encoder import LiteEncoder
from .presnet import PResNet

BACKBONES = {"hgnetv2": HGNetv2, "presnet": PResNet, "dla": DLA}
ENCODERS = {"hybrid": HybridEncoder, "lite": LiteEncoder}
DECODERS = {"rtdetr": RtDetrDecoder, "dfine": DfineDecoder, "deim": DfineDecoder}


class Network(nn.Module):
    """Built for one input size, because the state dict holds its anchors; outside training others work as well."""

    def __init__(self, arch, height=None, width=None):
        super().__init__()
        self.arch = arch
        height, width = height or arch.input[0], width or arch.input[1]
        channels = arch.backbone.channels
        self.backbone = BACKBONES[arch.backbone.kind](arch.backbone)
        sizes = [(height // stride, width // stride) for stride in arch.strides]
        levels = 2 if arch.encoder.kind == "lite" else len(channels)
        self.encoder = ENCODERS[arch.encoder.kind](arch.encoder, channels, sizes[levels - 1])
        self.decoder = DECODERS[arch.decoder.kind](arch.decoder, arch.encoder.hidden, levels, sizes)

    def forward(self, picture, denoising=None):
        """picture [B, 3, h, w] in 0..1 -> logits [B, Q, classes], boxes [B, Q, 4] cxcywh in 0..1, tokens [B, Q]; in
        training mode the dictionary that decoder.py describes."""
        if denoising is not None and not self.training:
            raise ValueError("denoising queries are for training mode")
        if self.training and self.arch.decoder.layer_scale != 1:
            raise ValueError("decoders with wider last layers are known outside training only")
        return self.decoder(self.encoder(self.backbone(picture)), denoising)


def deploy(network):
    """Folds norms and RepVGG branches into convolutions, in place, as everyone does who runs such a network."""
    network.eval()
    with torch.no_grad():
        for module in list(network.modules()):
            if hasattr(module, "fold"):
                module.fold()
    return network


class Detector(nn.Module):
    """A network with the post-processing of official exports: the best (query, class) pairs, boxes in pixels."""

    def __init__(self, network, top=300):
        super().__init__()
        self.network, self.top = network, top

    def forward(self, images, orig_target_sizes):
        """images [B, 3, h, w], sizes [B, 2] (width, height) -> labels [B, top], boxes [B, top, 4], scores [B, top]"""
        logits, boxes, _ = self.network(images)
        scores, index = logits.sigmoid().flatten(1).topk(self.top, 1)
        classes = logits.shape[2]
        query = torch.div(index, classes, rounding_mode="floor")
        centre, size = boxes.gather(1, query[..., None].expand(-1, -1, 4)).split(2, -1)
        corners = torch.cat([centre - size / 2, centre + size / 2], -1)
        return index - query * classes, corners * orig_target_sizes.repeat(1, 2)[:, None], scores
