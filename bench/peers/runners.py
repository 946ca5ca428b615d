# SPDX-License-Identifier: LGPL-2.1-or-later
"""Those who run a network: gst-deim and its peers.

Each has a title and a method measure(model) -> Times, a process of its own every time; Unavailable says why not.
Peers say in `about` what they are once they have been set up, and on which kind of device they must be compared.
"""
import shutil
from dataclasses import dataclass

from machine import CACHE, ROOT, Unavailable, library_environment, python_with_torch, run, run_json, say
from models import check_export


@dataclass
class Times:
    wall: float  # ms a frame, median
    cpu: float  # ms a frame in all threads of the process, mean
    note: str = ""


class GstDeim:
    """A frame is the whole way: a picture of the network's size is uploaded, converted, resampled and detected in, and
    detections are read back."""

    def __init__(self, program, threads, mesa):
        self.program, self.mesa = program, mesa
        # Lavapipe's own threads; on GPUs nothing looks at it.
        self.environment = {"LP_NUM_THREADS": str(threads), **mesa}
        if not shutil.which(program):
            raise Unavailable(f"there is no {program}: build gst-deim first (pipelines/build.sh build)")

    def device_environment(self, on_cpu):
        return {**self.environment, **({"DEIM_DEVICE": "llvmpipe"} if on_cpu else {})}

    def driver(self, on_cpu):
        text = run([self.program, "info", "--device"], self.device_environment(on_cpu))
        lines = dict(line.split(None, 1) for line in text.splitlines() if len(line.split(None, 1)) == 2)
        return f"{lines.get('device', '?').strip()}, {lines.get('driver', '?').strip()}"

    def measure(self, model, frames, on_cpu):
        found = run_json([self.program, "bench", model.checkpoint, "--frames", frames, "--warmup", max(2, frames // 5),
                          "--json"], self.device_environment(on_cpu))
        return Times(found["latency_ms"]["median"], found["cpu_ms"], found["device"])


class OnnxRuntime:
    title, on_cpu = "ONNX Runtime", True

    def __init__(self, threads):
        self.threads, self.checked = threads, set()
        if not shutil.which("node") or not shutil.which("npm"):
            raise Unavailable("node and npm are not installed")
        # Beside the other caches, so that the source folder stays clean. Its install scripts are not run.
        self.folder = CACHE / "onnxruntime"
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in (ROOT / "bench" / "onnxruntime").iterdir():
            shutil.copy(file, self.folder)
        lock, installed = self.folder / "package-lock.json", self.folder / "installed"
        if not installed.exists() or installed.read_bytes() != lock.read_bytes():
            say("installing ONNX Runtime from npm (about 300 MB unpacked)")
            run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder=self.folder)
            shutil.copy(lock, installed)
        self.about = "on the CPU"

    def find(self, model, picture):
        return run_json(["node", self.folder / "bench.mjs", model.onnx, "--input", picture])

    def measure(self, model, frames):
        if not model.onnx or not model.onnx.exists():
            raise Unavailable(f"{model.name}: there is no ONNX file")
        if model.name not in self.checked:
            if model.reference:
                check_export(model, self.find)
            else:
                say(f"{model.name}: not checked against PyTorch, which is not here or does not know it by name")
            self.checked.add(model.name)
        found = run_json(["node", self.folder / "bench.mjs", model.onnx, "--frames", frames, "--threads", self.threads])
        self.about = f"{found['version']} on the CPU"
        return Times(found["median_ms"], found["cpu_ms"])


class PyTorch:
    """Our PyTorch network: on the CPU eagerly, on a GPU in float16, eagerly or compiled."""

    def __init__(self, threads, cuda=False, compiled=False):
        self.threads, self.on_cpu = threads, not cuda
        self.options = (["--cuda"] if cuda else []) + (["--compile"] if compiled else [])
        self.title = "PyTorch" if not cuda else "PyTorch, compiled" if compiled else "PyTorch, eager"
        self.python = python_with_torch()
        if not self.python:
            raise Unavailable("no Python here has PyTorch (Debian: python3-torch libopenblas0-pthread)")
        self.program = ROOT / "bench" / "pytorch" / "measure.py"
        self.environment = library_environment(threads)
        can = run_json([self.python, self.program, "--about"], self.environment)
        if cuda and not can["cuda_build"]:
            raise Unavailable(f"PyTorch {can['version']} is no CUDA build")
        if cuda and not can["gpu"]:
            raise Unavailable("no GPU that CUDA knows")
        if compiled and not can["compile"]:
            raise Unavailable(f"PyTorch {can['version']} has no torch.compile")
        kind = "eager, float32, on the CPU"
        if cuda:
            kind = f"float16, {'compiled with CUDA graphs' if compiled else 'eager'}, on {can['gpu']}"
        self.about = f"{can['version']}, {kind}"

    def measure(self, model, frames):
        if not model.arch:
            raise Unavailable(f"{model.name}: its network is not known by name")
        found = run_json([self.python, self.program, model.arch, model.checkpoint, "--frames", frames, "--threads",
                          self.threads, *self.options], self.environment)
        return Times(found["median_ms"], found["cpu_ms"], found["layout"].replace("_format", ""))


# name: how it is made
PEERS = {
    "onnxruntime": OnnxRuntime,
    "pytorch": PyTorch,
    "pytorch-gpu": lambda threads: PyTorch(threads, cuda=True),
    "pytorch-compile": lambda threads: PyTorch(threads, cuda=True, compiled=True),
}
