#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether every detection of one file is in another: same-detections.py EXPECTED FOUND SCORE PIXELS

Both in COCO's format for results. Two are the same if picture and category are, the scores are within SCORE and all four
sides of the boxes within PIXELS; each counts once. Of a picture's 300 those may be missing whose score is within SCORE of
the last. Prints the figures; the exit status is 1 if one is missing.
"""
import collections
import json
import sys


def sides(detection):
    x, y, w, h = detection["bbox"]
    return x, y, x + w, y + h


def by_class(path):
    with open(path, encoding="utf-8") as file:
        detections = json.load(file)
    last = collections.defaultdict(lambda: 1.0)
    classes = collections.defaultdict(list)
    for d in detections:
        last[d["image_id"]] = min(last[d["image_id"]], d["score"])
        classes[d["image_id"], d["category_id"]].append(d)
    return detections, classes, last


def main(expected_path, found_path, score_limit, pixel_limit):
    score_limit, pixel_limit = float(score_limit), float(pixel_limit)
    expected, _, last = by_class(expected_path)
    _, found, _ = by_class(found_path)
    missing = at_end = 0
    worst_score = worst_pixel = 0.0
    for d in expected:
        candidates = found[d["image_id"], d["category_id"]]
        score = [abs(d["score"] - c["score"]) for c in candidates]
        pixel = [max(abs(a - b) for a, b in zip(sides(d), sides(c))) for c in candidates]
        fit = [i for i in range(len(candidates)) if score[i] <= score_limit and pixel[i] <= pixel_limit]
        if fit:
            best = min(fit, key=lambda i: pixel[i])
            worst_score, worst_pixel = max(worst_score, score[best]), max(worst_pixel, pixel[best])
            del candidates[best]
        elif d["score"] <= last[d["image_id"]] + score_limit:
            at_end += 1
        else:
            missing += 1
            print("# missing: %s" % json.dumps(d))
    print("# %d of %d the same, %d of the last scores not, scores within %.1e, sides within %.3f pixels" %
          (len(expected) - missing - at_end, len(expected), at_end, worst_score, worst_pixel))
    return missing > 0 or not expected


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
