#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the tables of docs/elements/ from gst-inspect-1.0: generate.py [--check] PLUGIN_FOLDER

PLUGIN_FOLDER: where the built plugins are, build/gst-plugin. The page of an element is docs/elements/NAME.md. What stands
there between "<!-- generated: WHAT" and "<!-- end -->" is replaced; everything else is written by hand. WHAT is "pads" or
"properties". An element without a page gets one to begin with.

--check writes nothing: it prints TAP, and fails where a page is not what would be written. What pads take depends on the
version of GStreamer, and is written and checked with 1.22 only.
"""
import glob
import os
import re
import subprocess
import sys

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "elements")
REGION = re.compile(r"(<!-- generated: (\w+)[^\n]*-->\n).*?(<!-- end -->\n)", re.DOTALL)
PADS_VERSION = "1.22"
NEW_PAGE = """# {name}

{description}.

## Properties

<!-- generated: properties, by docs/generate.py -->
<!-- end -->

## Pads

<!-- generated: pads, by docs/generate.py -->
<!-- end -->
"""
# What every element, or every element of a base class, has.
INHERITED = {"name": "The name of the object", "parent": "The parent of the object",
             "qos": "Handle Quality-of-Service events",
             "async-handling": "The bin will handle Asynchronous state changes",
             "message-forward": "Forwards all children messages"}
# A list of formats that is longer than this is all that GStreamer knows.
MANY_FORMATS = 40

PROPERTY = re.compile(r"^  (\S+)\s*: (.*)$")
FLAGS = re.compile(r"^ {20,}flags: (.*)$")
VALUE = re.compile(r"^ {20,}\((-?\d+)\): (\S+) +- (.*)$")
FIELD = re.compile(r"^ {20,}([\w-]+): ")
TYPE = re.compile(r'^ {20,}([A-Z][\w ]*?)(?: "\w+"| of type "\w+")?\.?'
                  r"(?: Range: +(\S+) - +(\S+))?(?: Default: +(.*?))?(?: Write only)?\s*$")


def inspect(*arguments):
    done = subprocess.run(["gst-inspect-1.0", "--no-colors", *arguments], capture_output=True, text=True, check=False,
                          env=dict(os.environ, LC_ALL="C.UTF-8"))
    if done.returncode != 0:
        sys.exit("generate.py: gst-inspect-1.0 %s failed; is the folder of the built plugins right?" % " ".join(arguments))
    return done.stdout


def element_names(folder):
    """The elements of all plugins in the folder."""
    names = []
    for path in sorted(glob.glob(os.path.join(folder, "libgst*.so"))):
        names += re.findall(r"^  (\w+): ", inspect("--plugin", path), re.MULTILINE)
    return names


def section(text, title):
    """The lines below a title of gst-inspect's, up to the next."""
    found = re.search(r"^%s:\n((?:[ \t].*\n|\n)*)" % title, text, re.MULTILINE)
    return found.group(1).splitlines() if found else []


# ----------------------------------------------------------------------------------------- properties

def read_properties(text):
    """The properties of the element, each a dict; those of GStreamer's base classes left out."""
    properties, current = [], None
    for line in section(text, "Element Properties"):
        name, flags, value = PROPERTY.match(line), FLAGS.match(line), VALUE.match(line)
        if name:
            current = {"name": name.group(1), "blurb": name.group(2), "flags": "", "type": "", "values": [], "fields": []}
            properties.append(current)
        elif flags and current:
            current["flags"] = flags.group(1)
        elif value:
            current["values"].append((value.group(2), value.group(3)))
        elif current and not current["type"] and TYPE.match(line):
            kind = TYPE.match(line)
            current["type"], current["least"], current["most"], current["default"] = kind.groups()
        elif current and FIELD.match(line):
            current["fields"].append(FIELD.match(line).group(1))
    return [p for p in properties if INHERITED.get(p["name"]) != p["blurb"]]


def kind_of(prop):
    kind = {"Boolean": "bool", "String": "string", "Unsigned Integer": "uint", "Integer": "int", "Double": "double",
            "Unsigned Integer64": "uint64", "Enum": "enum", "Boxed pointer": "structure"}.get(prop["type"])
    if kind is None:
        sys.exit("generate.py: a type that it does not know: %s of %s" % (prop["type"], prop["name"]))
    if prop["least"] is None:
        return kind
    most = "" if float(prop["most"]) >= 2**31 - 1 else prop["most"]
    return "%s %s…%s" % (kind, prop["least"], most)


def default_of(prop):
    default = prop["default"]
    if default is None or default == "null":
        return "–"
    if prop["type"] == "Enum":
        return "`%s`" % re.search(r'"(.*)"', default).group(1)
    return "`%s`" % default.strip().strip('"')


def changes_of(prop):
    flags = prop["flags"]
    if "writable" not in flags:
        return "read only"
    when = "live" if "PLAYING" in flags else "READY"
    if "readable" not in flags:
        when += ", write only"
    return when + (", controllable" if "controllable" in flags else "")


def describe(prop):
    text = prop["blurb"].replace("|", "\\|")
    if prop["values"]:
        text += ". " + "; ".join("`%s`: %s" % value for value in prop["values"])
    if prop["fields"]:
        text += ". " + ", ".join("`%s`" % field for field in prop["fields"])
    return text


def write_properties(text):
    lines = ["| property | type | default | changes | |", "|---|---|---|---|---|"]
    for prop in read_properties(text):
        lines.append("| `%s` | %s | %s | %s | %s |" %
                     (prop["name"], kind_of(prop), default_of(prop), changes_of(prop), describe(prop)))
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------ pads

def write_pads(text):
    rows, pad, media = {}, None, None  # (caps, formats): pads
    for line in section(text, "Pad Templates"):
        template = re.match(r"^  (?:SINK|SRC) template: '(.*)'", line)
        caps = re.match(r"^      (\w+/[\w-]+(?:\(.*\))?)\s*$", line)
        formats = re.match(r"^ +format: (?:\{ (.*) \}|(\S+))$", line)
        if template:
            pad = template.group(1)
        elif caps:
            media = caps.group(1)
            rows.setdefault((media, "any"), []).append(pad)
        elif formats:
            names = (formats.group(1) or formats.group(2)).replace("(string)", "").split(", ")
            rows[(media, "any")].pop()
            listed = "all that GStreamer can draw into" if len(names) > MANY_FORMATS else " ".join(names)
            rows.setdefault((media, listed), []).append(pad)
    lines = ["| pads | caps | formats |", "|---|---|---|"]
    for (media, formats), pads in rows.items():
        if pads:
            lines.append("| %s | `%s` | %s |" % (", ".join("`%s`" % p for p in pads), media, formats))
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------- the pages

def new_text(name, old, pads):
    """The page with its regions written anew; those of pads only if asked for."""
    text = inspect(name)

    def write(match):
        what = match.group(2)
        if what not in ("pads", "properties"):
            sys.exit("generate.py: %s.md wants \"%s\" generated; there are pads and properties" % (name, what))
        if what == "pads" and not pads:
            return match.group(0)
        return match.group(1) + (write_pads if what == "pads" else write_properties)(text) + match.group(3)

    if old is None:
        description = re.search(r"^  Description +(.*)$", text, re.MULTILINE).group(1)
        old = NEW_PAGE.format(name=name, description=description)
    return REGION.sub(write, old)


def read_page(name):
    path = os.path.join(PAGES, name + ".md")
    return open(path, encoding="utf-8").read() if os.path.exists(path) else None


def main(arguments):
    check = "--check" in arguments
    folders = [a for a in arguments if a != "--check"]
    if len(folders) != 1:
        print(__doc__)
        return 0 if "--help" in arguments else 2
    os.environ["GST_PLUGIN_PATH"] = os.path.abspath(folders[0])
    pads = "GStreamer %s." % PADS_VERSION in inspect("--version")
    names = element_names(folders[0])
    failed = 0
    for number, name in enumerate(names, 1):
        old = read_page(name)
        new = new_text(name, old, pads)
        if check:
            good = old is not None and all("generated: " + what in old for what in ("pads", "properties")) and old == new
            failed += not good
            print("%sok %d - docs/elements/%s.md is current" % ("" if good else "not ", number, name))
            if not good:
                print("docs/elements/%s.md: write it anew with docs/generate.py PLUGIN_FOLDER, and look at it" % name,
                      file=sys.stderr)
        elif old != new:
            with open(os.path.join(PAGES, name + ".md"), "w", encoding="utf-8") as file:
                file.write(new)
            print("docs/elements/%s.md" % name)
    if check:
        if pads:
            print("ok %d - pads too" % (len(names) + 1))
        else:
            print("ok %d - pads # SKIP they are those of GStreamer %s" % (len(names) + 1, PADS_VERSION))
        print("1..%d" % (len(names) + 1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
