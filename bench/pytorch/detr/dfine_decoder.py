# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boxes as distributions over the distance of each edge from a first box, refined by each layer (D-FINE, DEIMv2)."""
import torch
from torch import nn

from .blocks import MLP, inverse_sigmoid
from .decoder import Decoder

BINS = 33


def distances(up, reg_scale):
    """W(n): what the bins stand for, in units of the first box's side over reg_scale; dense near zero."""
    a = abs(up) * abs(reg_scale)
    step = (a + 1) ** (2 / (BINS - 3))
    half = [step ** n - 1 for n in range(BINS // 2)] + [2 * a]
    return torch.tensor([-x for x in half[:0:-1]] + half)


def probabilities(corners):
    """[B, Q, 4 * 33] -> [B, Q, 4, 33]: for left, top, right, bottom the distribution over bins."""
    return corners.reshape(*corners.shape[:2], 4, BINS).softmax(-1)


class Quality(nn.Module):
    """LQE: class logits are moved by how sure the distributions are, by the four largest probabilities of each edge and
    their mean."""

    def __init__(self, act):
        super().__init__()
        self.reg_conf = MLP(20, 64, 1, 2, act)

    def forward(self, logits, corners):
        best = probabilities(corners).topk(4, -1).values
        stats = torch.cat([best, best.mean(-1, keepdim=True)], -1)
        return logits + self.reg_conf(stats.flatten(2))


class DfineDecoder(Decoder):
    box_values = 4 * BINS

    def __init__(self, arch, *args):
        super().__init__(arch, *args)
        d = arch.hidden
        self.pre_bbox_head = MLP(d, d, 4, 3, arch.act)
        self.decoder.lqe_layers = nn.ModuleList(Quality(arch.act) for _ in range(arch.layers))
        # Two constants, under two names each.
        self.up = self.decoder.up = nn.Parameter(torch.tensor([arch.up]), requires_grad=False)
        self.reg_scale = self.decoder.reg_scale = nn.Parameter(torch.tensor([arch.reg_scale]), requires_grad=False)
        self.register_buffer("bins", distances(arch.up, arch.reg_scale), persistent=False)

    def boxes_of(self, corners, first):
        """corners [B, Q, 4 * 33], first [B, Q, 4] cxcywh -> boxes cxcywh, which may leave 0..1."""
        left, top, right, bottom = (probabilities(corners) @ self.bins).unbind(-1)
        cx, cy, w, h = first.unbind(-1)
        scale = abs(self.arch.reg_scale)
        # The edges lie at centre -+ (0.5 * scale + distance) * side / scale.
        return torch.stack([cx + (right - left) * w / scale / 2, cy + (bottom - top) * h / scale / 2,
                            w + (left + right) * w / scale, h + (top + bottom) * h / scale], -1)

    def refine(self, x, boxes, memory, sizes, hidden):
        out, extra, corners, before = [], {}, 0, 0
        last = self.arch.eval_idx
        for i, layer in enumerate(self.decoder.layers):
            if i == 0 or self.arch.kind == "dfine":  # DEIMv2 stays with the position of the first boxes
                pos = self.query_pos_head(boxes).clamp(-10, 10)
            x = layer(x, pos, boxes, memory, sizes, hidden)
            if i == 0:
                first = (self.pre_bbox_head(x) + inverse_sigmoid(boxes)).sigmoid()
                if self.training:
                    extra = {"pre.logits": self.dec_score_head[0](x), "pre.boxes": first}
                first = first.detach()
            corners = corners + self.dec_bbox_head[i](x + before)
            refined = self.boxes_of(corners, first)
            if self.training or i == last:
                logits = self.decoder.lqe_layers[i](self.dec_score_head[i](x), corners)
                out.append({"logits": logits, "boxes": refined, "corners": corners})
            if not self.training and i == last:
                break
            before, boxes = x.detach(), refined.detach()
        if self.training:
            extra["main.refs"] = first
        return out, extra
