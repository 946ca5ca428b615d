# SPDX-License-Identifier: LGPL-2.1-or-later
"""This machine: where things are, what it is called, which Python has PyTorch, and programs run as children."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "gst-deim"


class Unavailable(Exception):
    """Why something cannot be measured here, in words for people."""


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def python_with_torch():
    """The first of this Python and the system's that has PyTorch; None."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run([python, "-c", "import torch"], capture_output=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return python
    return None


def run(command, environment=None, folder=None):
    """What a program prints. Unavailable, with the end of what it said, where it fails."""
    command = [str(part) for part in command]
    done = subprocess.run(command, env={**os.environ, **(environment or {})}, cwd=folder, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        end = " ".join((done.stderr or done.stdout).split("\n")[-4:]).strip()
        raise Unavailable(f"{pathlib.Path(command[0]).name} {' '.join(command[1:3])} failed: {end}")
    return done.stdout


def run_json(command, environment=None):
    text = run(command, environment)
    try:
        return json.loads(text)
    except ValueError:
        raise Unavailable(f"{command[0]} printed no JSON: {text[:200]}") from None


def processor():
    """(name, feature flags)"""
    name, flags = os.uname().machine, set()
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass
    return name, flags


def library_environment(threads):
    """For a peer's libraries: so many threads, which sleep while they wait (on a busy machine spinning takes the time
    away from whoever works), and BLAS kernels for this processor (OpenBLAS takes its oldest for one that it does not
    know)."""
    environment = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    flags = processor()[1]
    if "avx512vl" in flags:
        environment["OPENBLAS_CORETYPE"] = "SKYLAKEX"
    elif "avx2" in flags:
        environment["OPENBLAS_CORETYPE"] = "HASWELL"
    return {key: os.environ.get(key, value) if key == "OPENBLAS_CORETYPE" else value
            for key, value in environment.items()}


def mesa_environment(folder):
    """The variables that bench/mesa-backports.sh gives for its Mesa in @folder (empty: its own choice of a folder)."""
    script = ROOT / "bench" / "mesa-backports.sh"
    lines = run(["bash", "-c", 'said=$("$@") && eval "$said" && env', "mesa", script] + ([folder] if folder else []))
    wanted = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH")
    pairs = (line.partition("=") for line in lines.splitlines())
    return {key: value for key, _, value in pairs if key in wanted}
