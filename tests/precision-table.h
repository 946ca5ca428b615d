/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* precision-table.h - the table of docs/precision.md, which test-precision holds its figures against. */
#pragma once

#include <glib.h>

/* Of a set: what fp16 did to it when the table was written. */
typedef struct {
  gdouble logits[3], boxes[3]; /* of all queries the median, 95 %, and the largest error */
  guint found, top;            /* of the @top best detections, with the golden tokens */
  gdouble selected;            /* percent */
  guint alone;                 /* of the best detections, by the network itself */
} PrecisionRow;

/* The row of the golden set @name, "deim_r18_320x320_1". If there is none, or one that cannot be read, the test fails
 * and FALSE is returned. */
gboolean precision_table_find (const gchar *name, PrecisionRow *ret_row);
