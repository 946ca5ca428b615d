/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimengine.h - what the elements of one process share of the engine.
 *
 * A model file is read once and a Vulkan device opened once, however many elements use them; and elements whose
 * settings of the network are the same have one DeimEngine, which computes the frames of all of them. All of it goes
 * away with the last element that uses it.
 *
 * Thread-safety: safe. An element that starts waits for another one only where both want the same model, device or
 * engine and that is being made or unmade at the moment. Streams that are running wait for neither.
 */
#pragma once

#include <gst/gst.h>
#include "engine/deim.h"

G_BEGIN_DECLS

typedef struct _GstDeimEngine GstDeimEngine;

/* What an engine is found by: the settings that its elements have in common. Strings may be NULL: the labels of the
 * file, the best device, the user's cache. */
typedef struct {
  const gchar *model;
  const gchar *labels_file;
  const gchar *device;
  const gchar *cache_dir; /* elements that name different ones do not share the device */
  /* Elements with one id have one engine, and with another id another one, though everything else be equal. It is an
   * error when elements of one id do not agree about the rest. NULL or "": an id like any other. */
  const gchar *instance_id;
  DeimPrecision precision;
  guint max_detections;
  guint batch_size, batch_timeout; /* as in DeimDetectorOptions */
} GstDeimEngineKey;

/* Loads or finds the model and the device of @key. Free with gst_deim_engine_free(). */
GstDeimEngine *gst_deim_engine_new (const GstDeimEngineKey *key, GError **error);
void gst_deim_engine_free (GstDeimEngine *engine); /* after its detectors */

DeimModel *gst_deim_engine_get_model (GstDeimEngine *engine);   /* (transfer none) */
DeimDevice *gst_deim_engine_get_device (GstDeimEngine *engine); /* (transfer none) */

/* A detector for one stream. Makes the network ready for the device, where no other element has. */
DeimDetector *gst_deim_engine_new_detector (GstDeimEngine *engine, guint in_flight, DeimResize resize, GError **error);

/* After DEIM_ERROR_DEVICE_LOST: elements that start from now on open the device again. */
void gst_deim_engine_forget_device (GstDeimEngine *engine);

/* Posts @error on the bus in the domain and code that GStreamer has for it. @doing: what failed, for the debug text,
 * which names the place of the call too. */
#define gst_deim_post_error(element, error, doing)                                                                     \
  gst_deim_post_error_at (element, error, doing, __FILE__, GST_FUNCTION, __LINE__)
void gst_deim_post_error_at (GstElement *element, const GError *error, const gchar *doing, const gchar *file,
                             const gchar *function, gint line);

G_END_DECLS
