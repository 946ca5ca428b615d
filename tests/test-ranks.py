#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Training by several processes: test-ranks.py DEIM MPIRUN quick|more|net. TAP.

quick   a step of two processes against one, and what is refused
more    several epochs of four, augmented, going on with another number of processes, being stopped, failing
net     two machines, as far as two network namespaces are such: needs root
MPIRUN is empty where the build has no MPI.
"""
import array
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

deim, mpirun, what = sys.argv[1:]
SETTINGS = ["--model", "deimv2_atto:queries=60", "--batch", "4", "--input", "160x160", "--denoising", "20"]
# A wrapper, so that a test can name the processes: each leaves its number, and a variable of the shell has its rank.
NAMED = 'rank=$OMPI_COMM_WORLD_RANK; echo $$ > "$PIDS/$rank"; '
os.environ.update({"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PIDS": "/nonexistent"})
# As in test-step.py: rounding moves single activations and samples to the other side of a jump.
JUMP = 0.02
number = 0


def report(good, name, why=""):
    global number
    number += 1
    for line in str(why).splitlines() if not good else []:
        print("#", line)
    print(f"{'ok' if good else 'not ok'} {number} {name}", flush=True)


def run(command, env=None):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=600)
    return done.returncode, done.stdout


def ranks(count, command, *options):
    return [mpirun, "--oversubscribe", "--bind-to", "none", *options, "-n", str(count), *command]


def train(folder, output, *more):
    places = ["--data", os.path.join(folder, "data"), "--output", os.path.join(folder, output)]
    return [deim, "train", *places, *SETTINGS, *more]


def read_state(folder, output):
    with open(os.path.join(folder, output, "state.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        header.pop("__metadata__")
        content = file.read()
    tensors = {}
    for name, entry in header.items():
        tensors[name] = array.array("f", content[slice(*entry["data_offsets"])])
    return tensors


def read_losses(folder, output):
    lines = [line.strip().split(",") for line in open(os.path.join(folder, output, "results.csv"))]
    column = lines[0].index("loss")
    return [float(line[column]) for line in lines[1:]]


def distance(a, b, kind):
    """Of all tensors of a kind as one vector, relative."""
    error = square = 0.0
    for name in a:
        if name.startswith(kind):
            error += sum((x - y) ** 2 for x, y in zip(a[name], b[name]))
            square += sum(x * x for x in a[name])
    return (error / square) ** 0.5


def compare(folder, one, other, name, loss_limit, gradient_limit):
    """Losses; AdamW's first moment, which is the gradient; statistics of norms, which are gathered, not added."""
    a, b = read_losses(folder, one), read_losses(folder, other)
    off = max(abs(x - y) / x for x, y in zip(a, b))
    report(len(a) == len(b) and off <= loss_limit, f"{name}: losses differ by {off:.1e}", f"{a}\n{b}")
    a, b = read_state(folder, one), read_state(folder, other)
    off = distance(a, b, "first/")
    report(off <= gradient_limit, f"{name}: gradients differ by {off:.1e}")
    return a, b


def make_data(folder, count=8):
    for part, seed, n in (("train", 1, count), ("val", 2, 5)):
        status, said = run([deim, "dataset", "synth", "--output", os.path.join(folder, "data", part), "--count", str(n),
                            "--seed", str(seed)])
        assert status == 0, said


def check_quick(folder):
    for variable in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        status, said = run(train(folder, "none"), {**os.environ, variable: "4"})
        report(status == 1 and "4 processes were started" in said and not os.path.exists(os.path.join(folder, "none")),
               f"{variable} without its mpirun is refused", said)
    if not mpirun:
        return
    make_data(folder, 4)
    status, said = run(train(folder, "one", "--epochs", "1"))
    report(status == 0, "one process", said)
    status, said = run(ranks(2, train(folder, "two", "--epochs", "1")))
    report(status == 0 and said.count("epoch   1") == 1, "two processes, one of which speaks", said)
    a, b = compare(folder, "one", "two", "a step", 1e-6, 1e-5)
    running = [name for name in a if name.startswith("weights/") and "running_" in name]
    report(len(running) > 60 and all(a[name] == b[name] for name in running), "statistics of norms are equal to the bit")


def start_named(count, folder, output, *more):
    """Processes whose numbers are known, when they have written a state."""
    pids = tempfile.mkdtemp(dir=folder)
    state = os.path.join(folder, output, "state.safetensors")
    before = os.path.getmtime(state) if os.path.exists(state) else 0
    command = NAMED + "exec " + " ".join(f"'{word}'" for word in train(folder, output, *more))
    job = subprocess.Popen(ranks(count, ["sh", "-c", command]), text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env={**os.environ, "PIDS": pids})
    while job.poll() is None and not (os.path.exists(state) and os.path.getmtime(state) > before):
        time.sleep(0.05)
    return job, [int(open(os.path.join(pids, str(rank))).read()) for rank in range(count)]


def check_stopped(folder, settings):
    job, pids = start_named(4, folder, "stopped", *settings)
    os.kill(pids[1], signal.SIGINT)
    said = job.communicate(timeout=120)[0]
    report(job.returncode and said.count("interrupted; the same command") == 1, "Ctrl-C for one process ends all", said)
    status, said = run(train(folder, "stopped", *settings, "--resume"))
    report(status == 0 and "going on in epoch" in said, "one process goes on with what four left", said)
    compare(folder, "one", "stopped", "begun by four, ended by one", 1e-6, JUMP)
    job, pids = start_named(2, folder, "killed", "--epochs", "200", "--evaluate", "200")
    os.kill(pids[1], signal.SIGKILL)
    said = job.communicate(timeout=120)[0]
    report(job.returncode != 0, "a process that is killed ends all", said)
    for _ in range(300):
        left = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
        if left:
            time.sleep(0.1)
    report(not left, "and none is left", left)


def check_failures(folder):
    shutil.copytree(os.path.join(folder, "data"), os.path.join(folder, "data1"))
    os.symlink("data", os.path.join(folder, "data0"))
    for path, _, files in os.walk(os.path.join(folder, "data1", "train")):
        for name in files:
            if name.endswith((".png", ".jpg")):
                os.truncate(os.path.join(path, name), 100)
    words = train(folder, "failed", "--epochs", "2", "--light")
    path = os.path.join(folder, "data")
    command = "exec " + " ".join(f"'{word}'" for word in words).replace(f"'{path}'", f"'{path}'$OMPI_COMM_WORLD_RANK")
    status, said = run(ranks(2, ["sh", "-c", command]))
    report(status and said.count("deim train: process 2 of 2, on " + socket.gethostname()) == 1 and
           said.count("deim train:") == 1, "a picture that one process cannot read is told once", said)
    # In the middle of a step the others wait in calls of their own: they end with the one that lost its device, as Open
    # MPI says, or says that it cannot say.
    words = " ".join(f"'{word}'" for word in train(folder, "lost", "--epochs", "2"))
    command = f"[ $OMPI_COMM_WORLD_RANK = 0 ] || export DEIM_TEST_LOSE_DEVICE=60; exec {words}"
    status, said = run(ranks(2, ["sh", "-c", command]))
    aborted = "MPI_ABORT was invoked on rank 1" in said or "show_help" in said
    report(status and said.count("deim train: process ") == 1 and aborted and
           f"deim train: process 2 of 2, on {socket.gethostname()}: the device " in said,
           "a device that is lost in a step is told once, and ends all", said)
    command = "exec " + " ".join(f"'{word}'" for word in train(folder, "failed", "--epochs", "2")) + \
        " --seed $OMPI_COMM_WORLD_RANK"
    status, said = run(ranks(2, ["sh", "-c", command]))
    report(status and 'the first process has "seed 0", this one "seed 1"' in said, "other settings are refused", said)
    status, said = run(ranks(3, train(folder, "failed", "--epochs", "2")))
    report(status and said.count("a multiple of 3") == 1, "a batch that cannot be shared is refused", said)


def check_more(folder):
    make_data(folder)
    # Small steps: with large ones rounding soon decides which of many equal queries of a new network are taken.
    several = ["--epochs", "4", "--lr", "1e-6", "--mosaic", "1", "--mixup", "1"]
    status, said = run(train(folder, "one", *several))
    report(status == 0, "one process", said)
    for count in (2, 4):
        status, said = run(ranks(count, train(folder, str(count), *several)))
        report(status == 0, f"{count} processes", said)
        a, b = compare(folder, "one", str(count), f"eight steps by {count}", 1e-6, JUMP)
        off = distance(a, b, "weights/")
        report(off < 1e-6, f"weights of {count} differ by {off:.1e}")
    check_stopped(folder, several)
    check_failures(folder)


class Machines:
    """Two network namespaces with a cable between them, and an agent that starts programs in the other one."""

    def __init__(self, folder):
        self.names = [f"deim-{os.getpid()}-{side}" for side in "ab"]
        self.agent = os.path.join(folder, "agent")
        with open(self.agent, "w") as file:
            file.write(f"#!/bin/sh\nshift\nexec ip netns exec {self.names[1]} unshare --uts "
                       "sh -c 'hostname deim-b && eval \"$*\"' sh \"$@\"\n")
        os.chmod(self.agent, 0o755)

    def setup(self):
        a, b = self.names
        lines = [f"netns add {a}", f"netns add {b}", f"link add ve netns {a} type veth peer name ve netns {b}"]
        for index, name in enumerate(self.names):
            lines += [f"-n {name} addr add 10.77.0.{index + 1}/24 dev ve", f"-n {name} link set ve up",
                      f"-n {name} link set lo up"]
        return all(subprocess.run(["ip", *line.split()], stderr=subprocess.DEVNULL).returncode == 0 for line in lines)

    def received(self):
        """Bytes that came over the cable."""
        said = subprocess.run(["ip", "-n", self.names[0], "-j", "-s", "link", "show", "ve"], text=True,
                              stdout=subprocess.PIPE).stdout
        return json.loads(said)[0]["stats64"]["rx"]["bytes"]

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)


def check_net(folder):
    machines = Machines(folder)
    try:
        if not shutil.which("ip") or not machines.setup():
            report(True, "two machines # SKIP network namespaces need root and iproute2")
            return
        make_data(folder, 4)
        status, said = run(train(folder, "one", "--epochs", "1"))
        report(status == 0, "one process", said)
        command = ranks(2, train(folder, "two", "--epochs", "1"), "--mca", "plm_rsh_agent", machines.agent, "--mca",
                        "btl", "tcp,self", "--mca", "btl_tcp_if_include", "ve", "--mca", "oob_tcp_if_include", "ve",
                        "--host", "deim-a,deim-b")
        before = machines.received()
        status, said = run(["ip", "netns", "exec", machines.names[0], "unshare", "--uts", "sh", "-c",
                            'hostname deim-a && exec "$@"', "sh", *command])
        report(status == 0, "two machines", said)
        sent = machines.received() - before
        report(sent > 1 << 20, f"{sent / 1e6:.1f} MB came over the cable")
        compare(folder, "one", "two", "a step", 1e-6, 1e-5)
    finally:
        machines.remove()


def main():
    if what != "quick" and not mpirun:
        print("1..0 # SKIP the build has no MPI")
        return
    with tempfile.TemporaryDirectory() as folder:
        {"quick": check_quick, "more": check_more, "net": check_net}[what](folder)
    print(f"1..{number}")


main()
