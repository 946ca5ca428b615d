/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimline.h - what was found in a frame as a JSON document on one line. docs/elements/deimjson.md lists its
 * members.
 */
#pragma once

#include "gstdeimread.h"

G_BEGIN_DECLS

/* What a document says of its frame beside what was found in it. */
typedef struct {
  const gchar *stream_id; /* NULL: unknown */
  guint64 frame;
  guint64 pts, running_time; /* nanoseconds; GST_CLOCK_TIME_NONE: unknown */
  gint width, height;        /* pixels; 0: unknown */
  const GArray *looks;       /* of GstDeimFrameLook: the deimdetects that saw it */
  guint missing;             /* detections of theirs that are not there any more */
} GstDeimLineFrame;

/* Replaces what @line holds by the document, without a newline. @boxes: of GstDeimBox, read from @buffer, whose
 * reference timestamps are told too. Works without locks; a buffer that is not changed meanwhile is all it needs. */
void gst_deim_line_format (GString *line, const GstDeimLineFrame *frame, GstBuffer *buffer, const GArray *boxes);

G_END_DECLS
