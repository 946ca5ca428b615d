/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimblend.h - lays a part of a picture over a frame, at the cost of that part.
 *
 * gst_video_overlay_composition_blend() unpacks and packs the whole row of the frame for each row of each rectangle,
 * and divides several times for each pixel; for outlines and labels, which are narrow and of one colour, that was three
 * quarters of what deimoverlay took.
 */
#pragma once

#include <gst/video/video.h>

G_BEGIN_DECLS

/*
 * Lays @width x @height pixels over @frame, which is mapped for reading and writing, with their upper left corner at
 * (@x,@y). @pixels: one guint32 each, alpha in the highest byte, then red, green and blue, premultiplied (cairo's
 * ARGB32), in rows of @stride bytes. What lies outside of @frame is left out. The result is that of
 * gst_video_overlay_composition_blend(), byte for byte. FALSE where GStreamer cannot blend into the format of @frame.
 */
gboolean gst_deim_blend (GstVideoFrame *frame, gint x, gint y, gpointer pixels, gint width, gint height, gint stride);

G_END_DECLS
