/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * media.h - pictures and videos, decoded by GStreamer, as frames of deim.h.
 *
 * A DeimMedia is one file or URI; a picture is a video of one frame. Frames
 * come in the format that the decoder makes, with its colorimetry, since the
 * detector converts on the device; only formats that it does not read are
 * converted before. Nothing is turned upright: pixels stand as they are stored.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include <cairo.h>
#include <deim.h>
#include <gst/video/video.h>

typedef struct _DeimMedia DeimMedia;

/* Initialises GStreamer; FALSE (DEIM_ERROR_UNSUPPORTED) where that fails. To be called before anything else here. */
gboolean deim_media_init (GError **error);

/* @location: a file's path, or a URI. Errors may also come with the first frame only. */
DeimMedia *deim_media_open (const gchar *location, GError **error);

/* Waits for the next frame. TRUE with *ret_sample NULL at the end. Free with gst_sample_unref(). */
gboolean deim_media_read (DeimMedia *media, GstSample **ret_sample, GError **error);
void deim_media_close (DeimMedia *media);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimMedia, deim_media_close)

/* A decoded frame, mapped. */
typedef struct {
  GstVideoFrame video;
  DeimFrame frame; /* points into @video */
} DeimPicture;

gboolean deim_picture_map (DeimPicture *picture, GstSample *sample, GError **error);
void deim_picture_unmap (DeimPicture *picture);

/* A CAIRO_FORMAT_RGB24 copy of the frame. */
cairo_surface_t *deim_picture_to_surface (DeimPicture *picture, GError **error);
