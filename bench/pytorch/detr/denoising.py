# SPDX-License-Identifier: LGPL-2.1-or-later
"""Contrastive denoising (DINO): in training the truth, with noise, as further queries, in groups of their own."""
from dataclasses import dataclass

import torch


@dataclass
class Denoising:
    """What goes into the decoder before the selected queries.

    labels: int64 [B, N], the class that a query claims; `classes` (one more than there are) where there is no object.
    boxes: [B, N, 4] cxcywh in 0..1, moved by noise. groups: N = groups * 2 * n, and in each group n boxes close to the
    truth stand before n that are farther off.
    """

    labels: torch.Tensor
    boxes: torch.Tensor
    groups: int

    def hidden(self, queries):
        """bool [N + queries]^2: a group sees itself and the selected queries, these see each other alone."""
        n = self.labels.shape[1]
        group = torch.arange(n, device=self.labels.device) // (n // self.groups)
        group = torch.cat([group, group.new_full((queries,), -1)])
        seen = (group[:, None] == group) | ((group[:, None] >= 0) & (group < 0))
        return ~seen


def noisy_queries(targets, classes, count=100, label_noise=0.5, box_noise=1.0, generator=None):
    """Denoising queries of a batch: targets are (labels [n], boxes [n, 4]) per picture. None if no picture has an
    object.

    As many groups as fit into `count` (at least one); pictures with fewer objects than the fullest are padded. A label
    is exchanged with probability label_noise / 2. A corner moves by up to half the side times box_noise, in the second
    half of a group by one to two times that; corners stay in the picture.
    """
    most = max(len(labels) for labels, _ in targets)
    if most == 0:
        return None
    groups = max(count // most, 1)
    labels = torch.full((len(targets), most), classes)
    boxes = torch.zeros(len(targets), most, 4)
    for i, (one_labels, one_boxes) in enumerate(targets):
        labels[i, :len(one_labels)] = one_labels
        boxes[i, :len(one_boxes)] = one_boxes
    labels, boxes = labels.repeat(1, 2 * groups), boxes.repeat(1, 2 * groups, 1)
    far = (torch.arange(labels.shape[1]) // most % 2).float()[:, None]

    def random():
        return torch.rand(boxes.shape, generator=generator)

    exchange = (random()[..., 0] < label_noise / 2) & (labels < classes)
    labels = torch.where(exchange, torch.randint(0, classes, labels.shape, generator=generator), labels)
    half = boxes[..., 2:].repeat(1, 1, 2) / 2
    corners = torch.cat([boxes[..., :2], boxes[..., :2]], -1) + half * torch.tensor([-1.0, -1.0, 1.0, 1.0])
    move = (random() + far) * torch.where(random() < 0.5, -1.0, 1.0)
    corners = (corners + move * half * box_noise).clamp(0, 1)
    low, high = corners.split(2, -1)
    # Far noise may turn a box inside out: its size is taken all the same.
    return Denoising(labels, torch.cat([(low + high) / 2, (high - low).abs()], -1), groups)
