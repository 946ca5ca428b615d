#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes what a comparison of runtimes needs:  prepare.py ARCH OUT [--checkpoint FILE] [--size HxW] [--no-onnx]

OUT.safetensors    golden weights, unless a checkpoint is given
OUT.onnx           the network in the form of the official exports (unless --no-onnx): inputs `images` float32
                   [1, 3, h, w] in 0..1 and `orig_target_sizes` int64 [1, 2] (width, height); outputs `labels`, `boxes`
                   (pixels, xyxy) and `scores`, the best 300. Norms and RepVGG branches are folded.
OUT.input          a picture, raw float32 [1, 3, h, w]
OUT.json           what PyTorch makes of it, so that a runtime can be checked before it is measured
"""
import argparse
import json
import warnings

import torch

import prng
from detr import checkpoint
from detr.arch import preset
from detr.network import Detector, Network, deploy

OPSET = 16  # the first that has GridSample


def export(detector, inputs, path):
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: shapes are meant to become constants
        torch.onnx.export(detector, inputs, path, opset_version=OPSET, input_names=["images", "orig_target_sizes"],
                          output_names=["labels", "boxes", "scores"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch")
    parser.add_argument("out")
    parser.add_argument("--checkpoint")
    parser.add_argument("--size", type=lambda text: tuple(int(side) for side in text.split("x")))
    parser.add_argument("--no-onnx", action="store_true")
    options = parser.parse_args()
    arch = preset(options.arch)
    height, width = options.size or arch.input
    network = Network(arch, *arch.input).eval()
    if options.checkpoint:
        checkpoint.load(network, options.checkpoint)
    else:
        prng.fill(network)
        checkpoint.write_safetensors(options.out + ".safetensors", network.state_dict(), {"deim.arch": arch.name})

    picture = torch.from_numpy(prng.picture("smooth", 1, height, width))[None]
    sizes = torch.tensor([[width, height]])
    detector = Detector(deploy(network)).eval()
    if not options.no_onnx:
        export(detector, (picture, sizes), options.out + ".onnx")
    with torch.no_grad():
        labels, boxes, scores = detector(picture, sizes)
    picture.numpy().tofile(options.out + ".input")
    with open(options.out + ".json", "w", encoding="utf-8") as file:
        json.dump({"labels": labels[0].tolist(), "boxes": boxes[0].tolist(), "scores": scores[0].tolist()}, file)


if __name__ == "__main__":
    main()
