/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimengine.h - what the elements of one process share of the engine.
 *
 * A model file is read once and a Vulkan device opened once, however many elements use them; both go away with the
 * last element. An engine is one (model, device, precision); today each element makes its own detector from it, and a
 * scheduler that batches over the streams of one engine will stand behind the same functions.
 *
 * Thread-safety: safe. Elements that start at the same time wait for each other's loading.
 */
#pragma once

#include <gst/gst.h>
#include "engine/deim.h"

G_BEGIN_DECLS

typedef struct _GstDeimEngine GstDeimEngine;

/* What an engine is found by. Strings may be NULL: the labels of the file, the best device, the user's cache. */
typedef struct {
  const gchar *model;
  const gchar *labels_file;
  const gchar *device;
  const gchar *cache_dir; /* elements that name different ones do not share the device */
  DeimPrecision precision;
} GstDeimEngineKey;

/* Loads or finds the model and the device of @key. Free with gst_deim_engine_free(). */
GstDeimEngine *gst_deim_engine_new (const GstDeimEngineKey *key, GError **error);
void gst_deim_engine_free (GstDeimEngine *engine);

DeimModel *gst_deim_engine_get_model (GstDeimEngine *engine);   /* (transfer none) */
DeimDevice *gst_deim_engine_get_device (GstDeimEngine *engine); /* (transfer none) */

/* A detector for one stream; @options->precision is the engine's. */
DeimDetector *gst_deim_engine_new_detector (GstDeimEngine *engine, const DeimDetectorOptions *options, GError **error);

/* After DEIM_ERROR_DEVICE_LOST: elements that start from now on open the device again. */
void gst_deim_engine_forget_device (GstDeimEngine *engine);

/* Posts @error on the bus in the domain and code that GStreamer has for it. @doing: what failed, for the debug text. */
void gst_deim_post_error (GstElement *element, const GError *error, const gchar *doing);

G_END_DECLS
