# SPDX-License-Identifier: LGPL-2.1-or-later
"""The losses of DEIM in PyTorch, for outputs without local losses (Atto, Femto, Pico; RT-DETR): matching aware loss, L1
and generalised IoU, with the Hungarian matching of RT-DETR. Plain and slow: it is what gst-deim is compared with."""
import torch
import torch.nn.functional as F

GAMMA = 1.5
WEIGHTS = torch.tensor([1.0, 5.0, 2.0])  # class, L1, GIoU


def corners(boxes):
    half = boxes[..., 2:].clamp(min=0) / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def overlaps(a, b):
    """IoU and generalised IoU of boxes cxcywh, pair by pair."""
    a, b = corners(a), corners(b)
    both = (torch.min(a[..., 2:], b[..., 2:]) - torch.max(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    hull = (torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2])).prod(-1)
    return both / union, both / union - (hull - union) / hull


def assign(cost):
    """Pairs (row, column) of the least sum, a row for each column (rows >= columns): shortest augmenting paths."""
    columns = cost.t().tolist()
    n, m, inf = len(columns), len(cost), float("inf")
    u, v, owner = [0.0] * (n + 1), [0.0] * (m + 1), [0] * (m + 1)
    for i in range(1, n + 1):
        owner[0], j, way = i, 0, [0] * (m + 1)
        least, used = [inf] * (m + 1), [False] * (m + 1)
        while owner[j]:
            used[j], k, step, best = True, owner[j], inf, 0
            for c in range(1, m + 1):
                if used[c]:
                    continue
                reduced = columns[k - 1][c - 1] - u[k] - v[c]
                if reduced < least[c]:
                    least[c], way[c] = reduced, j
                if least[c] < step:
                    step, best = least[c], c
            for c in range(m + 1):
                if used[c]:
                    u[owner[c]] += step
                    v[c] -= step
                else:
                    least[c] -= step
            j = best
        while j:
            owner[j], j = owner[way[j]], way[j]
    return [(c - 1, owner[c] - 1) for c in range(1, m + 1) if owner[c]]


def match(logits, boxes, targets):
    """Of each picture the pairs (query, object)."""
    pairs = []
    for logit, box, (labels, truth) in zip(logits.detach().double(), boxes.detach().double(), targets):
        p, truth = logit.sigmoid()[:, labels], truth.double()
        there = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log()
        absent = 0.75 * p ** 2 * -(1 - p + 1e-8).log()
        distance = (box[:, None] - truth).abs().sum(-1)
        pairs.append(assign(2 * (there - absent) + 5 * distance - 2 * overlaps(box[:, None], truth)[1]))
    return pairs


def losses(logits, boxes, pairs, targets, count):
    """Weighted losses of one output: class, L1, GIoU; divided by @count."""
    place = torch.tensor([(i, q) for i, of in enumerate(pairs) for q, _ in of]).t()
    truth = torch.stack([targets[i][1][t] for i, of in enumerate(pairs) for _, t in of])
    labels = torch.tensor([int(targets[i][0][t]) for i, of in enumerate(pairs) for _, t in of])
    found = boxes[place[0], place[1]]
    iou, generalised = overlaps(found, truth)
    score, positive = torch.zeros_like(logits), torch.zeros_like(logits)
    score[place[0], place[1], labels] = iou.detach() ** GAMMA
    positive[place[0], place[1], labels] = 1
    weight = logits.detach().sigmoid() ** GAMMA * (1 - positive) + positive
    classes = F.binary_cross_entropy_with_logits(logits, score, weight=weight, reduction="sum")
    return WEIGHTS * torch.stack([classes, (found - truth).abs().sum(), (1 - generalised).sum()]) / count


def criterion(out, targets, denoising_pairs):
    """Weighted losses [3] of all outputs of a network in training (decoder.py names them)."""
    count, total = sum(len(labels) for labels, _ in targets), torch.zeros(3)
    positives = sum(len(pairs) for pairs in denoising_pairs)
    for name in sorted(name[:-7] for name in out if name.endswith(".logits")):
        logits, boxes = out[name + ".logits"], out[name + ".boxes"]
        if name.startswith("dn"):
            total = total + losses(logits, boxes, denoising_pairs, targets, positives)
        else:
            total = total + losses(logits, boxes, match(logits, boxes, targets), targets, count)
    return total
