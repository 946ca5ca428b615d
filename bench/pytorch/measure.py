#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times a network in PyTorch:  measure.py ARCH CHECKPOINT [--size HxW] [--frames N] [--threads N] [--cuda] [--compile]
                              measure.py --about

From a picture as a float32 tensor in host memory to labels, boxes and scores there; norms folded. On the CPU eagerly
in float32, in the memory format (contiguous or channels_last) that is faster. On a GPU in float16, eagerly or
compiled, in which case PyTorch records CUDA graphs. Prints one JSON object: milliseconds of wall clock (median) and
of processor time in all threads of the process (mean). --about prints what this PyTorch can do.
"""
import argparse
import json
import time

import torch

import prng
from detr import checkpoint
from detr.arch import preset
from detr.network import Detector, Network, deploy


def about():
    config = torch.__config__.show()
    return {"version": torch.__version__, "cuda_build": torch.version.cuda is not None,
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "compile": hasattr(torch, "compile"), "onednn": "USE_MKLDNN=ON" in config or "MKL-DNN" in config}


def times(run, frames):
    """Milliseconds of each of so many runs, and of processor time per run."""
    wall, cpu = [], time.process_time()
    for _ in range(frames):
        start = time.perf_counter()
        run()
        wall.append(1e3 * (time.perf_counter() - start))
    return sorted(wall), 1e3 * (time.process_time() - cpu) / frames


def on_cpu(detector, picture, sizes, frames):
    """The faster memory format's run, and its name."""
    best = None
    for layout in (torch.contiguous_format, torch.channels_last):
        moved = detector.to(memory_format=layout)
        tensor = picture.to(memory_format=layout)
        run = lambda: moved(tensor, sizes)  # noqa: E731
        times(run, 2)
        tried = times(run, max(3, frames // 5))[0]
        if best is None or tried[0] < best[0]:
            best = tried[0], layout
    detector.to(memory_format=best[1])
    picture = picture.to(memory_format=best[1])
    return lambda: detector(picture, sizes), str(best[1]).replace("torch.", "")


def on_gpu(detector, picture, sizes, compiled):
    detector = detector.half().cuda()
    if compiled:
        detector = torch.compile(detector, mode="reduce-overhead")
    picture = picture.pin_memory()

    def run():
        found = detector(picture.cuda(non_blocking=True).half(), sizes.cuda(non_blocking=True))
        return [tensor.cpu() for tensor in found]

    times(run, 20)
    return run, "contiguous_format"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch", nargs="?")
    parser.add_argument("checkpoint", nargs="?")
    parser.add_argument("--about", action="store_true")
    parser.add_argument("--size", type=lambda text: tuple(int(side) for side in text.split("x")))
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    if options.about:
        print(json.dumps(about()))
        return
    if not options.checkpoint:
        parser.error("give ARCH and CHECKPOINT")
    torch.set_num_threads(options.threads)
    arch = preset(options.arch)
    height, width = options.size or arch.input
    network = checkpoint.load(Network(arch, *arch.input).eval(), options.checkpoint)
    detector = Detector(deploy(network)).eval()
    picture = torch.from_numpy(prng.picture("noise", 1, height, width))[None]
    sizes = torch.tensor([[width, height]])
    with torch.inference_mode():
        if options.cuda:
            run, layout = on_gpu(detector, picture, sizes, options.compile)
        else:
            run, layout = on_cpu(detector, picture, sizes, options.frames)
        wall, cpu = times(run, options.frames)
    print(json.dumps({"median_ms": wall[len(wall) // 2], "cpu_ms": cpu, "version": torch.__version__,
                      "threads": torch.get_num_threads(), "layout": layout, "frames": options.frames}))


if __name__ == "__main__":
    main()
