#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks the house rules that a compiler does not: test-layers.py [SOURCE_ROOT]. Prints TAP.

Includes point down only (docs/architecture.md has the drawing): each room lists what it may include. Further: a licence
line per file, no file over 600 lines, a header comment per shader, headers that compile alone, no printing from
libraries, and no environment variable that the README does not explain. Each rule is also run on a text that breaks
it, so that a rule that never fires shows.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), ".."))

# room: (what its files may include in quotes, which system headers nobody else may). A room is the longest folder
# that matches; targets are files, or folders with everything below.
BASE = ["engine/deim.h", "engine/error.h"]
ROOMS = {
    "engine/gpu": BASE + ["engine/gpu"],
    "engine/graph": BASE + ["engine/graph"],
    "engine/ops": BASE + ["engine/ops", "engine/graph"],
    "engine/models": BASE + ["engine/models", "engine/ops", "engine/graph", "engine/formats"],
    "engine/formats": BASE + ["engine/formats", "engine/half.h"],
    "engine/image": BASE + ["engine/image"],
    "engine": BASE + ["engine"],
    "overlay": ["overlay"],
    "trainer": ["trainer", "engine/deim.h", "engine/error.h", "engine/graph", "engine/ops", "engine/models",
                "engine/formats", "engine/image", "engine/model.h", "engine/training.h", "engine/update.h"],
    "gst-plugin": ["gst-plugin", "overlay", "engine/deim.h"],
    "tools": ["tools", "overlay", "trainer", "engine/deim.h", "engine/formats/npy.h"],
    "tests": [""],
    "bench": [""],
    "pipelines": ["engine/deim.h"],
}
# system header prefix: the rooms in which it may stand
SYSTEM = {
    "vulkan/": ["engine/gpu", "tests"],
    "gst/": ["gst-plugin", "tools", "tests", "pipelines"],
    "cairo": ["overlay", "trainer", "gst-plugin", "tools", "tests"],
    "gdk-pixbuf/": ["trainer"],
    "pango": ["overlay", "tests"],
    "mosquitto.h": ["gst-plugin", "tests"],
    "zip.h": ["engine/formats", "tests"],
    "protobuf-c/": ["engine/formats"],
    "engine/formats/onnx.pb-c.h": ["engine/formats"],
    "models/default-model.h": ["engine"],
}
LIBRARIES = ["engine/", "overlay/", "gst-plugin/", "trainer/"]
SKIPPED = {".git", "out", "subprojects", "node_modules", "__pycache__"}
LICENSED = (".c", ".h", ".comp", ".glsl", ".py", ".sh", ".mjs", "meson.build", "meson_options.txt")
MAX_LINES = 600

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
PRINT = re.compile(r"\b(printf|vprintf|puts|putchar|g_print|g_printerr|perror)\s*\(|\bfprintf\s*\(\s*std(out|err)\b")
VARIABLE = re.compile(r'\bg?_?getenv\s*\(\s*"(DEIM_[A-Z0-9_]+)"')


def room_of(path):
    found = [room for room in ROOMS if path.startswith(room + "/")]
    return max(found, key=len) if found else None


def allowed(target, places):
    return any(place == "" or target == place or target.startswith(place + "/") for place in places)


def find_include(path, name, exists):
    """The file that `#include "name"` in path means, from the source root; None if it is generated or missing."""
    for folder in (os.path.dirname(path), "", "engine"):
        candidate = os.path.normpath(os.path.join(folder, name))
        if exists(candidate):
            return candidate
    return None


def check_includes(path, text, exists):
    room = room_of(path)
    if not room or not path.endswith((".c", ".h")):
        return []
    wrong = []
    for quote, name in INCLUDE.findall(text):
        if quote == "<":
            for prefix, rooms in SYSTEM.items():
                if name.startswith(prefix) and room not in rooms:
                    wrong.append("%s: <%s> belongs to %s" % (path, name, ", ".join(rooms)))
        target = find_include(path if quote == '"' else "", name, exists)
        if target is None and quote == "<":
            continue
        if target is None:
            wrong.append('%s: "%s" is no file of the tree' % (path, name))
        elif not allowed(target, ROOMS[room]):
            wrong.append("%s: includes %s, but %s may only know %s" % (path, target, room, ", ".join(ROOMS[room])))
    return wrong


def check_licence(path, text, exists):
    if path.endswith(LICENSED) and not any(
        "SPDX-License-Identifier: LGPL-2.1-or-later" in line for line in text.splitlines()[:2]
    ):
        return [path + ": no SPDX line at its top"]
    return []


def check_length(path, text, exists):
    lines = text.count("\n")
    if path.endswith((".c", ".h", ".comp", ".glsl", ".py", ".sh", ".mjs")) and lines > MAX_LINES:
        return ["%s: %d lines, more than %d" % (path, lines, MAX_LINES)]
    return []


def check_shader_header(path, text, exists):
    """A comment before the first line of code (#version apart), of two lines or more, the licence not counted."""
    if not path.endswith((".comp", ".glsl")):
        return []
    lines = 0
    rest = re.sub(r"^#version.*\n", "", text, count=1, flags=re.MULTILINE).lstrip()
    while rest.startswith(("/*", "//")):
        comment = COMMENT.match(rest)
        if not comment:
            break
        lines += sum(1 for line in comment.group(0).splitlines() if re.search(r"\w", line) and "SPDX" not in line)
        rest = rest[comment.end():].lstrip()
    return [] if lines >= (2 if path.endswith(".comp") else 1) else [path + ": no header comment"]


def check_printing(path, text, exists):
    if not path.endswith((".c", ".h")) or not path.startswith(tuple(LIBRARIES)):
        return []
    return [
        "%s: a library prints: %s" % (path, found.group(0).strip() + "...)")
        for found in PRINT.finditer(COMMENT.sub("", text))
    ]


def check_variables(path, text, exists, readme=None):
    if not path.endswith((".c", ".h")) or path.startswith("tests/"):
        return []
    if readme is None:
        readme = read("README.md") if exists("README.md") else ""
    return [
        "%s: $%s is not in README.md" % (path, name)
        for name in sorted(set(VARIABLE.findall(text)))
        if name not in readme and not name.startswith("DEIM_TEST_")
    ]


# rule: its function, and a (path, text) that it must refuse
RULES = {
    "includes point down": (check_includes, [
        ("engine/graph/x.c", '#include "../gpu/gpu.h"\n'),
        ("engine/ops/x.c", '#include "../models/models.h"\n'),
        ("engine/gpu/x.c", '#include "engine/graph/graph.h"\n'),
        ("engine/image/x.c", "#include <vulkan/vulkan.h>\n"),
        ("engine/x.c", "#include <gst/gst.h>\n"),
        ("gst-plugin/x.c", '#include "engine/error.h"\n'),
        ("tools/x.c", '#include "engine/graph/graph.h"\n'),
        ("tools/x.c", "#include <graph/graph.h>\n"),
        ("trainer/x.c", '  #  include "engine/gpu/gpu.h"\n'),
        ("engine/ops/x.c", '#include "nowhere.h"\n'),
    ]),
    "every file names its licence": (check_licence, [("engine/x.c", "int x;\n"), ("meson.build", "\n\n# SPDX-\n")]),
    "no file is too long": (check_length, [("engine/x.c", "\n" * (MAX_LINES + 1))]),
    "every shader says what it computes": (check_shader_header, [
        ("shaders/x.comp", "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n#version 450\n"
                           "void main () {}\n/* too\n * late */\n"),
    ]),
    "libraries do not print": (check_printing, [
        ("engine/x.c", 'g_print ("x");'), ("gst-plugin/x.c", 'fprintf (stderr, "x");'),
    ]),
    "the README knows every environment variable": (check_variables, [
        ("engine/x.c", 'g_getenv ("DEIM_UNHEARD_OF")'),
    ]),
}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def source_files():
    for folder, names, files in os.walk(ROOT):
        names[:] = sorted(n for n in names if n not in SKIPPED and not n.startswith("build"))
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            if path.endswith(LICENSED) or path in (".ci/run",):
                yield path


def compile_header(path, compiler, flags):
    """Compiles a header as a translation unit of its own; returns what the compiler says when it fails."""
    language = "c++" if compiler.endswith("++") else "c"
    standard = "-std=gnu++17" if language == "c++" else "-std=gnu11"
    source = '#include "%s"\nextern int deim_test_nothing;\n' % path
    done = subprocess.run(
        [compiler, "-fsyntax-only", "-Wall", "-Werror", standard, "-x", language, "-I" + ROOT, "-I" + ROOT + "/engine",
         *flags, "-"],
        input=source, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else ["%s: %s" % (path, done.stderr.strip())]


class Tap:
    def __init__(self):
        self.number = 0
        self.failed = 0

    def case(self, name, wrong):
        self.number += 1
        self.failed += bool(wrong)
        print("%sok %d - %s" % ("not " if wrong else "", self.number, name))
        for line in "\n".join(wrong).splitlines():
            print(line, file=sys.stderr)

    def skip(self, name, why):
        self.number += 1
        print("ok %d - %s # SKIP %s" % (self.number, name, why))


def check_headers(tap, files):
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    modules = ["glib-2.0", "gio-2.0", "vulkan", "gstreamer-video-1.0", "pangocairo", "json-glib-1.0"]
    flags = subprocess.run(["pkg-config", "--cflags"] + modules, capture_output=True, text=True, check=False)
    if not compiler or flags.returncode != 0:
        tap.skip("headers compile alone", "no compiler, or pkg-config misses one of " + " ".join(modules))
        return
    flags = flags.stdout.split()
    wrong = []
    for path in (f for f in files if f.endswith(".h") and not f.startswith("tests/")):
        wrong += compile_header(path, compiler, flags)
    tap.case("headers compile alone", wrong)
    tap.case("a header that does not compile is noticed", [] if compile_header("engine/no.h", compiler, flags)
             else ["a missing header went unnoticed"])
    cpp = shutil.which("g++") or shutil.which("clang++")
    if cpp:
        tap.case("the public header compiles as C++", compile_header("engine/deim.h", cpp, flags))
    else:
        tap.skip("the public header compiles as C++", "no C++ compiler")


def main():
    tap = Tap()
    files = list(source_files())
    texts = {path: read(path) for path in files}
    known = set(files) | ({"README.md"} if os.path.exists(os.path.join(ROOT, "README.md")) else set())
    # The rules' own bad examples include files of these names.
    examples = known | {"engine/gpu/gpu.h", "engine/models/models.h", "engine/graph/graph.h", "engine/error.h"}
    for name, (rule, bad) in RULES.items():
        tap.case(name, [line for path in files for line in rule(path, texts[path], known.__contains__)])
        tap.case(name + ": a breach is noticed", [
            "unnoticed: %s: %s" % (path, text.strip()) for path, text in bad
            if not rule(path, text, examples.__contains__)])
    check_headers(tap, files)
    print("1..%d" % tap.number)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
