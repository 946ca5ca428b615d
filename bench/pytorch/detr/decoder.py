# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all decoders share: from encoder maps to memory, the best tokens, and the queries that layers start with.

In training mode a decoder gives a dictionary of all that losses are made of, by the words of the golden training
cases: `main` is the last layer, `aux0` .. the layers before it, `enc` the selected tokens themselves, `pre` D-FINE's
first boxes; of denoising queries `dn0` .. all layers, and `dnpre`. Each has `.logits` [B, Q, classes] and `.boxes`
[B, Q, 4], layers of D-FINE `.corners` [B, Q, 4 * 33] as well, and `main.refs` (`dn.refs`), the boxes that corners
count from. `tokens` [B, Q] tells which were selected.

Gradients stop where the official code stops them: selected content and boxes enter the layers as constants, and so do a
layer's boxes where the next one samples.
"""
import torch
from torch import nn

from .blocks import MLP, ConvNorm, inverse_sigmoid
from .decoder_layer import DecoderLayer


def anchors(sizes):
    """Of the levels' tokens, finest first: logits of boxes float32 [1, T, 4], infinite where the centre is closer
    than 0.01 to the picture's edge, and whether it is not: bool [1, T, 1]."""
    boxes = []
    for level, (h, w) in enumerate(sizes):
        y, x = torch.meshgrid(torch.arange(h, dtype=torch.float32), torch.arange(w, dtype=torch.float32), indexing="ij")
        side = torch.full_like(x, 0.05 * 2 ** level)
        boxes.append(torch.stack([(x + 0.5) / w, (y + 0.5) / h, side, side], -1).flatten(0, 1))
    boxes = torch.cat(boxes)[None]
    valid = ((boxes > 0.01) & (boxes < 0.99)).all(-1, keepdim=True)
    return torch.log(boxes / (1 - boxes)).masked_fill(~valid, float("inf")), valid


class EncOutput(nn.Sequential):
    """The projection that tokens are scored by; `proj` and `norm`, or by index in RT-DETR v1."""

    def __init__(self, d, v1_names):
        super().__init__()
        self.add_module("0" if v1_names else "proj", nn.Linear(d, d))
        self.add_module("1" if v1_names else "norm", nn.LayerNorm(d))


def named_outputs(layers, extra, split):
    """What the layers gave as the dictionary's entries: the first `split` queries are denoising ones."""
    out = {}
    for i, layer in enumerate(layers):
        name = "main" if i == len(layers) - 1 else f"aux{i}"
        out.update({f"{name}.{key}": value[:, split:] for key, value in layer.items()})
        if split:
            out.update({f"dn{i}.{key}": value[:, :split] for key, value in layer.items()})
    for name, value in extra.items():
        out[name] = value[:, split:]
        if split:
            out["dn" + name.replace("main", "")] = value[:, :split]
    return out


class Decoder(nn.Module):
    box_values = 4  # of a box head

    def __init__(self, arch, encoder_hidden, encoder_levels, sizes):
        """encoder_levels: maps that the encoder gives; sizes: (h, w) of all levels, for the stored anchors."""
        super().__init__()
        d, last = arch.hidden, arch.eval_idx
        self.arch, self.sizes = arch, sizes
        # A level beyond the encoder's is made of the one before.
        self.input_proj = nn.ModuleList()
        for level in range(len(arch.points) if arch.projected else 0):
            extra = level >= encoder_levels
            inputs = d if level > encoder_levels else encoder_hidden
            self.input_proj.append(ConvNorm(inputs, d, 3 if extra else 1, 2 if extra else 1))
        values, valid = anchors(sizes)
        self.register_buffer("anchors", values, persistent=not arch.v1_names)
        self.register_buffer("valid_mask", valid, persistent=not arch.v1_names)
        self.enc_output = nn.Identity() if arch.kind == "deim" else EncOutput(d, arch.v1_names)
        self.enc_score_head = nn.Linear(d, 1 if arch.select == "agnostic" else arch.classes)
        self.enc_bbox_head = MLP(d, d, 4, 3, arch.act)
        if arch.denoising:
            self.denoising_class_embed = nn.Embedding(arch.classes + 1, d, padding_idx=arch.classes)
        if arch.learned_content:
            self.tgt_embed = nn.Embedding(arch.queries, d)
        self.query_pos_head = MLP(4, 2 * d if arch.query_pos_layers == 2 else d, d, arch.query_pos_layers, arch.act)

        scales = [arch.layer_scale if i > last else 1 for i in range(arch.layers)]
        self.decoder = nn.Module()
        self.decoder.layers = nn.ModuleList(DecoderLayer(arch, scale) for scale in scales)
        scores = [nn.Linear(scale * d, arch.classes) for scale in scales]
        boxes = [MLP(scale * d, scale * d, self.box_values, 3, arch.act) for scale in scales]
        self.dec_score_head = nn.ModuleList(scores[:1] * len(scores) if arch.share_score else scores)
        self.dec_bbox_head = nn.ModuleList(boxes[:1] * len(boxes) if arch.share_bbox else boxes)

    def memory(self, maps):
        """Encoder maps -> tokens [B, T, d] and (h, w) of the levels."""
        if self.arch.projected:
            levels = [project(x) for project, x in zip(self.input_proj, maps)]
            for project in self.input_proj[len(maps):]:
                levels.append(project(maps[-1] if len(levels) == len(maps) else levels[-1]))
        else:
            levels = maps
        sizes = [(int(x.shape[2]), int(x.shape[3])) for x in levels]
        return torch.cat([x.flatten(2) for x in levels], 2).transpose(1, 2), sizes

    def grid(self, sizes, like):
        """Anchors and mask: the stored ones outside training if they are of this size, because training's moving
        average has drifted them and the weights have learnt to live with that."""
        if not self.training and sizes == self.sizes:
            return self.anchors, self.valid_mask
        values, valid = anchors(sizes)
        return values.to(like), valid.to(like.device)

    def select(self, memory, sizes):
        """-> tokens [B, Q] (one2many: token * classes + class), content [B, Q, d], boxes as logits [B, Q, 4], class
        logits."""
        arch = self.arch
        anchor, valid = self.grid(sizes, memory)
        features = self.enc_output(memory * valid.to(memory))
        scores = self.enc_score_head(features)
        rank = scores.flatten(1) if arch.select == "one2many" else scores.max(-1).values
        tokens = rank.topk(arch.queries, 1).indices
        row = torch.div(tokens, arch.classes, rounding_mode="floor") if arch.select == "one2many" else tokens

        def rows(x):
            return x.expand(memory.shape[0], -1, -1).gather(1, row[..., None].expand(-1, -1, x.shape[-1]))

        content = rows(features)
        return tokens, content, self.enc_bbox_head(content) + rows(anchor), rows(scores)

    def forward(self, maps, denoising=None):
        """-> logits, boxes and tokens; in training mode the dictionary."""
        memory, sizes = self.memory(maps)
        tokens, content, unact, scores = self.select(memory, sizes)
        x, boxes, hidden, split = content.detach(), unact.sigmoid().detach(), None, 0
        if self.arch.learned_content:
            x = self.tgt_embed.weight.expand(len(content), -1, -1)
        if denoising is not None:
            split = denoising.labels.shape[1]
            hidden = denoising.hidden(self.arch.queries)
            x = torch.cat([self.denoising_class_embed(denoising.labels), x], 1)
            # As officially by way of the logit, which keeps boxes off 0 and 1.
            boxes = torch.cat([inverse_sigmoid(denoising.boxes).sigmoid().to(boxes), boxes], 1)
        layers, extra = self.refine(x, boxes, memory, sizes, hidden)
        if not self.training:
            return layers[-1]["logits"], layers[-1]["boxes"], tokens
        return {"tokens": tokens, "enc.logits": scores, "enc.boxes": unact.sigmoid(),
                **named_outputs(layers, extra, split)}

    def refine(self, x, boxes, memory, sizes, hidden):
        """The layers: one dictionary (logits, boxes ..) of each in training, else of the last that is run; and what
        else there is, by its name."""
        raise NotImplementedError


class RtDetrDecoder(Decoder):
    """Boxes refined layer by layer as logits."""

    def refine(self, x, boxes, memory, sizes, hidden):
        out = []
        for i, layer in enumerate(self.decoder.layers):
            x = layer(x, self.query_pos_head(boxes), boxes, memory, sizes, hidden)
            delta = self.dec_bbox_head[i](x)
            refined = (delta + inverse_sigmoid(boxes)).sigmoid()
            if not self.training:
                if i == self.arch.eval_idx:
                    return [{"logits": self.dec_score_head[i](x), "boxes": refined}], {}
                boxes = refined
                continue
            # The same value, but what is returned lets a gradient reach the box head before.
            returned = refined if i == 0 else (delta + inverse_sigmoid(before)).sigmoid()
            out.append({"logits": self.dec_score_head[i](x), "boxes": returned})
            before, boxes = refined, refined.detach()
        return out, {}
