/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimhold.h - the boxes of the last inferred frame, for frames without inference: so that boxes do not blink.
 *
 * Where several deimdetects stand in a stream each has its own: one that did not look at a frame is answered for by its
 * last boxes, while those of another, which did look, are what it says.
 *
 * Thread-safety: none.
 */
#pragma once

#include "gstdeimread.h"

G_BEGIN_DECLS

typedef struct _GstDeimHold GstDeimHold;

GstDeimHold *gst_deim_hold_new (void);
void gst_deim_hold_free (GstDeimHold *hold); /* (nullable) */

/* A seek, another stream or frame size: nothing is held any more. */
void gst_deim_hold_forget (GstDeimHold *hold);

/*
 * gst_deim_hold_complete:
 * @looks: of GstDeimFrameLook: gst_deim_frame_meta_read() of the frame. None: nothing is changed, as nobody knows when
 *   other detectors look
 * @boxes: of GstDeimBox: gst_deim_meta_read() of it
 * @now: its running time, or NONE
 * @longest: nanoseconds since the last inferred frame for which boxes are held
 *
 * Notes the boxes of those that looked, and appends the former ones, as predicted, of those that did not. Boxes without
 * a source are noted for the only deimdetect that there is, and for none where there are several. A frame that one did
 * not look at and that has boxes of its or without a source all the same has them from a tracker, which knows better
 * than the past: then none are appended.
 */
void gst_deim_hold_complete (GstDeimHold *hold, const GArray *looks, GArray *boxes, GstClockTime now,
                             GstClockTime longest);

G_END_DECLS
