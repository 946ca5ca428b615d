/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimframe.h - video of GStreamer as the engine sees it: caps with a DMA_DRM format, and buffers that are DMABufs.
 */
#pragma once

#include <gst/video/video.h>

#include "engine/deim.h"

G_BEGIN_DECLS

/*
 * The formats of deimdetect, and, in DMABuf caps of GStreamer 1.24 and later, what those of them are called that have a
 * DRM name: the name alone means linear memory.
 */
#define GST_DEIM_FORMATS                                                                                               \
  "{ I420, YV12, NV12, NV21, YUY2, UYVY, Y42B, Y444, P010_10LE, I420_10LE, RGB, BGR, RGBx, BGRx, RGBA, BGRA, ARGB, "   \
  "ABGR, xRGB, xBGR, GRAY8 }"
#define GST_DEIM_DRM_FORMATS                                                                                           \
  "{ YU12, YV12, NV12, NV21, YUYV, UYVY, YU16, YU24, P010, BG24, RG24, XB24, XR24, AB24, AR24, BA24, RA24, BX24, "     \
  "RX24 }"

/* gst_video_info_from_caps(), and the same for linear DMA_DRM formats. FALSE where @caps are no video of a known
 * layout. */
gboolean gst_deim_frame_info (GstVideoInfo *ret_info, const GstCaps *caps);

/* Whether @caps are of frames in DMABufs. */
gboolean gst_deim_frame_is_dmabuf (const GstCaps *caps);

/*
 * Whether all planes of @buffer, a frame of @info, lie in DMABufs. Then sets size, strides and dmabuf of @frame, which
 * points to @ret_at; file descriptors are the buffer's.
 */
gboolean gst_deim_frame_find_dmabuf (const GstVideoInfo *info, GstBuffer *buffer, DeimFrame *frame, DeimDmabuf *ret_at);

G_END_DECLS
