#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts test cases: summary.py FILE...

FILE is a testlog.json of Meson (one JSON object a line, the program's TAP in "stdout"), or plain TAP when its name
ends in .tap. Names what failed, prints "N passed, N failed, N skipped" as the last line, and exits with 1 when
something failed, a file cannot be read, or no test ran.

A case that was planned and never reported (its program crashed) counts as failed; so does a program that failed
though all of its cases passed (a leak found at exit), and a program without TAP counts as one case.
"""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b[ \t]*\d*[ \t]*-?[ \t]*([^#]*)(?:#[ \t]*(\w+))?", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)")


class Count:
    def __init__(self):
        self.passed = 0
        self.skipped = 0
        self.failed = []

    def add(self, other):
        self.passed += other.passed
        self.skipped += other.skipped
        self.failed += other.failed


def count_tap(program, text):
    """Counts the cases of one program; returns them and how many were seen."""
    count, seen, planned = Count(), 0, None
    for line in text.splitlines():
        plan = PLAN.match(line)
        case = CASE.match(line)
        if plan:
            planned = int(plan.group(1))
        elif case:
            seen += 1
            directive = (case.group(3) or "").upper()
            if directive.startswith("SKIP") or (directive == "TODO" and case.group(1)):
                count.skipped += 1
            elif case.group(1):
                count.failed.append("%s: %s" % (program, case.group(2).strip()))
            else:
                count.passed += 1
    for number in range(seen, planned or 0):
        count.failed.append("%s: case %d of %d did not run" % (program, number + 1, planned))
    return count, seen


def count_program(record):
    """Counts what one line of testlog.json stands for."""
    name, result = record["name"].replace(" / ", "/"), record["result"]
    count, seen = count_tap(name, record.get("stdout") or "")
    if result in ("OK", "EXPECTEDFAIL") and not seen:
        count.passed += 1
    elif result == "SKIP" and not seen:
        count.skipped += 1
    elif result not in ("OK", "EXPECTEDFAIL", "SKIP") and not count.failed:
        count.failed.append("%s: %s, exit status %s" % (name, result.lower(), record.get("returncode")))
    return count


def count_file(path):
    count = Count()
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            if path.endswith(".tap"):
                count.add(count_tap("run.sh", lines.read())[0])
            else:
                for line in lines:
                    count.add(count_program(json.loads(line)))
    except (OSError, ValueError, KeyError) as error:
        count.failed.append("%s: not readable: %s" % (path, error))
    return count


def main(paths):
    total = Count()
    for path in paths:
        total.add(count_file(path))
    if not total.passed and not total.failed:
        total.failed.append("no test ran at all")
    for name in total.failed:
        print("failed: " + name)
    print("%d passed, %d failed, %d skipped" % (total.passed, len(total.failed), total.skipped))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
