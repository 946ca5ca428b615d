/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* results.h - the detections of one frame as JSON, as text and as a picture. */
#pragma once

#include "media.h"

#include <stdio.h>

/* One frame of one input. */
typedef struct {
  gchar *source;  /* the input as it was given */
  gchar *drawing; /* where the drawing goes, or NULL */
  guint64 frame;  /* number in its input, from 0 */
  gint64 pts;     /* nanoseconds, -1: none */
  guint width, height;
  GstSample *sample; /* held only where there is a drawing to make */
} DeimResult;

void deim_result_free (DeimResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimResult, deim_result_free)

/* {"source", "frame", "pts", "width", "height", "detections": [{"label", "class", "score", "box"}]} and a newline. */
void deim_result_write_json (const DeimResult *result, const GArray *detections, DeimModel *model, FILE *out);

/* A line for the frame and one for each detection. */
void deim_result_write_text (const DeimResult *result, const GArray *detections, DeimModel *model, FILE *out);

/* The frame with its boxes, as a PNG at result->drawing. */
gboolean deim_result_draw (const DeimResult *result, const GArray *detections, DeimModel *model, GError **error);
