/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-frames.h - frames for tests, packed from RGB pictures by code that
 * shares nothing with engine/image/: it knows each format by its name.
 */
#pragma once

#include "engine/deim.h"

/* Each plane is an allocation of exactly the bytes that a reader may touch, so that the address sanitizer sees others;
 * what is between the rows is poison. */
typedef struct {
  DeimFrame frame;
  guint8 *memory[4];
} TestFrame;

#define TEST_POISON 0xA5

/* A made-up picture, [h][w][3]: noise, or @block x @block pixels of one colour; gray ones for GRAY8. */
guint8 *test_picture_new (guint w, guint h, guint block, gboolean gray, guint32 seed);

/* @padding: bytes added to every stride. Chroma of subsampled formats is the mean of the pixels that share it. */
void test_frame_init (TestFrame *f, DeimFormat format, const guint8 *rgb, guint w, guint h, DeimMatrix matrix,
                      DeimRange range, guint padding);
/* Any bytes at all, for comparing two readers. */
void test_frame_init_random (TestFrame *f, DeimFormat format, guint w, guint h, guint padding, guint32 seed);
void test_frame_clear (TestFrame *f);

guint32 test_crc32 (const guint8 *data, gsize size);
