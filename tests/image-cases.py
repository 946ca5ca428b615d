#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/image-cases.h: what Pillow's resize (..., BILINEAR) makes of small made-up pictures.

Needs Pillow (Debian: python3-pil). Run by hand when cases are added: tests/image-cases.py > tests/image-cases.h
"""
import zlib
import PIL
from PIL import Image

# Small ones are listed whole; of large ones the CRC-32 is kept.
SMALL = [(7, 5, 4, 3), (3, 2, 8, 5), (1, 5, 3, 2), (5, 1, 2, 4), (1, 1, 3, 2), (13, 9, 13, 4), (10, 7, 6, 7),
         (2, 2, 1, 1), (33, 17, 5, 6), (6, 4, 6, 4), (101, 3, 1, 3), (4, 3, 5, 3), (17, 16, 9, 5)]
LARGE = [(641, 427, 320, 320), (320, 240, 640, 640), (1920, 1080, 320, 320), (97, 1031, 416, 64), (500, 333, 416, 416),
         (3001, 2, 32, 32)]


def picture(w, h):
    # A 32-bit linear congruential generator's upper byte: what source() in test-image.c makes.
    data, s = bytearray(), 12345
    for _ in range(w * h * 3):
        s = (s * 1664525 + 1013904223) & 0xFFFFFFFF
        data.append(s >> 24)
    return Image.frombytes("RGB", (w, h), bytes(data))


def resized(case):
    w, h, ow, oh = case
    return picture(w, h).resize((ow, oh), Image.BILINEAR).tobytes()


print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
print("/* image-cases.h - resizes by Pillow %s; written by tests/image-cases.py. */" % PIL.__version__)
print("/* clang-format off */")
for i, case in enumerate(SMALL):
    data = resized(case)
    print("static const guint8 resized_%d[] = {" % i)
    for k in range(0, len(data), 24):
        print("  " + " ".join("%d," % b for b in data[k : k + 24]))
    print("};")
print("\nstatic const struct {\n  guint w, h, out_w, out_h;\n  const guint8 *expected; /* NULL: see crc */\n  guint32 crc;")
print("} resize_cases[] = {")
for i, case in enumerate(SMALL):
    print("  { %d, %d, %d, %d, resized_%d, 0x%08x }," % (*case, i, zlib.crc32(resized(case))))
for case in LARGE:
    print("  { %d, %d, %d, %d, NULL, 0x%08x }," % (*case, zlib.crc32(resized(case))))
print("};\n/* clang-format on */")
