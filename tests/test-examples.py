#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the pipelines that the documentation shows: test-examples.py SOURCE_ROOT BUILD_ROOT. Prints TAP.

Examples are the gst-launch-1.0 lines in the SECTION blocks of gst-plugin/ and in README.md and docs/. Files, cameras and
screens in them are replaced by what is here. Those that need a network are parsed only: elements, properties and links
must be right. Each element of the plugins must have an example in its SECTION block.
"""
import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile

SOURCE, BUILD = (os.path.abspath(a) for a in sys.argv[1:3])
SHARED = os.environ.get("DEIM_SHARED") or os.path.join(SOURCE, "..", "shared")
SHARED_MODEL = os.path.join(SHARED, "real", "deimv2_hgnetv2_atto_coco.safetensors")
OTHERS = re.compile(r"\b(nv[a-z0-9]+|gva[a-z]+)\b")  # DeepStream's and DL Streamer's, which the documentation shows too
NETWORK = re.compile(r"rtsp://|https?://|\.pem|host=(?!localhost)")


def section_examples(path):
    """The pipelines of a SECTION block, and the element that it is about."""
    text = open(path, encoding="utf-8").read()
    block = re.search(r"/\*\*\n \* SECTION:element-(\w+)\n(.*?)\*/", text, re.DOTALL)
    if not block:
        return None, []
    plain = re.sub(r"^ \* ?", "", block.group(2), flags=re.MULTILINE)
    return block.group(1), [" ".join(code.split()) for code in re.findall(r"\|\[\n(gst-launch-1\.0 .*?)\]\|", plain, re.DOTALL)]


def page_examples(path):
    """The pipelines of a page: indented lines, continued by a backslash."""
    found, current = [], None
    for line in open(path, encoding="utf-8"):
        start = re.match(r"^ {4,}((?:GST_\w+=\S+ +)?gst-launch-1\.0 .*)", line)
        if current is None and not start:
            continue
        part = (start.group(1) if current is None else line).strip()
        current = (current + " " if current else "") + part.removesuffix("\\").strip()
        if not part.endswith("\\"):
            found.append(" ".join(current.split()))
            current = None
    return found


def words_of(example):
    """The words behind gst-launch-1.0, without its options and what a shell would do with the output."""
    words = shlex.split(example)
    words = words[words.index("gst-launch-1.0") + 1:]
    for end in ("|", ">"):
        if end in words:
            words = words[:words.index(end)]
    while words and words[0].startswith("-"):
        words.pop(0)
    return words


def replace(words, folder, model):
    """The same pipeline with what is here."""
    replaced = []
    for word in words:
        word = re.sub(r"=(in\.mp4)$", "=" + os.path.join(folder, "in.mp4"), word)
        word = re.sub(r"=(out\.mp4|found\.jsonl)$", lambda m: "=" + os.path.join(folder, m.group(1)), word)
        word = re.sub(r"^model=.*", "model=" + model, word)
        if word == "v4l2src":
            replaced += ["videotestsrc", "is-live=true", "num-buffers=10"]
        elif word == "autovideosink":
            replaced.append("fakesink")
        elif not word.startswith("device=/dev/"):
            replaced.append(word)
    return replaced


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def case(self, name, command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
        self.result(name, done.returncode == 0, done.stderr + done.stdout[-2000:])

    def result(self, name, good, why=""):
        self.number += 1
        self.failed += not good
        print("%sok %d - %s" % ("" if good else "not ", self.number, name.replace("#", "")), flush=True)
        if not good:
            print(why, file=sys.stderr, flush=True)


def main():
    tap = Tap()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst-plugin")
    os.environ["GST_REGISTRY"] = os.path.join(BUILD, "examples-registry.bin")
    examples, documented = [], set()
    for path in sorted(glob.glob(os.path.join(SOURCE, "gst-plugin", "*.c"))):
        element, found = section_examples(path)
        if element and found:
            documented.add(element)
        examples += found
    for path in [os.path.join(SOURCE, "README.md")] + sorted(glob.glob(SOURCE + "/docs/**/*.md", recursive=True)):
        examples += page_examples(path)
    examples = [e for e in dict.fromkeys(examples) if "deim" in e and not OTHERS.search(e)]

    elements = set()
    for path in glob.glob(os.path.join(BUILD, "gst-plugin", "libgst*.so")):
        listed = subprocess.run(["gst-inspect-1.0", "--plugin", path], capture_output=True, text=True, check=True).stdout
        elements |= set(re.findall(r"^  (\w+): ", listed, re.MULTILINE))
    tap.result("every element has an example in its SECTION block", elements and elements <= documented,
               "without one: " + ", ".join(sorted(elements - documented)))

    with tempfile.TemporaryDirectory() as folder:
        model = SHARED_MODEL
        if not os.path.exists(model):
            model = os.path.join(folder, "made-up.safetensors")
            tap.case("a network of made-up weights", [os.path.join(BUILD, "tests", "make-model"), model])
        tap.case("a video", ["gst-launch-1.0", "-q"] + shlex.split(
            "videotestsrc num-buffers=5 ! video/x-raw,width=320,height=240,framerate=10/1 ! x264enc ! mp4mux ! "
            "filesink location=" + os.path.join(folder, "in.mp4")))
        for example in examples:
            words = words_of(example)
            missing = sorted({w for w in words if re.fullmatch(r"deim\w+", w)} - elements)
            if missing:
                print("# not built: %s: %s" % (", ".join(missing), example))
            elif NETWORK.search(example):
                tap.case("parsed: " + example, [os.path.join(BUILD, "tests", "parse-launch")] + words)
            else:
                tap.case("run: " + example, ["gst-launch-1.0", "-q"] + replace(words, folder, model))
    tap.result("a wrong example is noticed", subprocess.run(
        [os.path.join(BUILD, "tests", "parse-launch")] + "videotestsrc ! deimdetect nonsense=1 ! fakesink".split(),
        capture_output=True, check=False).returncode != 0)
    print("1..%d" % tap.number)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
