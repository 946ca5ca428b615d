/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimdetect.h - the element deimdetect: what it is made of.
 *
 * gstdeimdetect.c is the element towards GStreamer (caps, states, events, queries), gstdeimsettings.c its properties,
 * gstdeimflow.c takes frames through it, by way of gstdeimsubmit.c (into the engine) and gstdeimpush.c (out of the
 * element), gstdeimspare.c leaves buffers to upstream, and gstdeimtiming.c looks after latency, lateness and frames
 * left behind.
 *
 * Locks: everything marked "stream" is touched under the sink pad's stream lock only, or while no data flows (start,
 * stop). Everything marked "object" is touched under the object lock. The object lock is taken last and never held
 * over a call into the engine or a pad.
 */
#pragma once

#include <gst/base/gstbasetransform.h>
#include <gst/video/video.h>

#include "gstdeimengine.h"
#include "gstdeimmeta.h"

G_BEGIN_DECLS

#define GST_TYPE_DEIM_DETECT (gst_deim_detect_get_type ())
G_DECLARE_FINAL_TYPE (GstDeimDetect, gst_deim_detect, GST, DEIM_DETECT, GstBaseTransform)
GST_ELEMENT_REGISTER_DECLARE (deimdetect)

/* x, y, w, h in pixels of the frame; w or h 0 reaches to the edge. */
typedef struct {
  guint x, y, w, h;
} GstDeimRegion;

/* The properties. Strings are owned. */
typedef struct {
  gchar *model, *model_instance_id, *device, *cache_dir, *labels_file, *class_thresholds, *classes, *region;
  DeimPrecision precision;
  DeimResize resize;
  GstDeimMetaMode meta;
  gdouble threshold;
  guint max_detections, inference_interval, in_flight, batch_size, batch_timeout;
  gboolean qos, pass_through, post_messages;
} GstDeimSettings;

typedef struct {
  guint64 frames;     /* came in */
  guint64 inferred;   /* went out with a result */
  guint64 discarded;  /* thrown away by a flush or an error: of frames, what is not inferred, skipped or inside */
  guint64 detections; /* attached */
  guint64 skipped[GST_DEIM_SKIP_COUNT];
  guint64 told;           /* QoS messages: frames that were late or met with overload, also those still inside */
  GstClockTime inference; /* submission to result, moving average; 0: not known yet */
  GstClockTime slowest;   /* the same, of the slowest lately */
  guint64 batches;        /* of the shared engine, of all streams, when the last result came */
  guint64 batch_frames;   /* the frames in them */
} GstDeimCounts;

/* A frame inside the element. */
typedef struct {
  GstBuffer *buffer;
  guint64 ticket;     /* of its inference, until that is collected */
  GArray *detections; /* of DeimDetection: what was collected; NULL before that, and where nothing is inferred */
  guint64 frame;
  guint width, height; /* pixels of the buffer's frame */
  GstDeimSkip skip;
  gboolean in_place;    /* the device reads the buffer itself */
  GstClockTime running; /* or NONE */
  gint64 entered;       /* g_get_monotonic_time() */
  GQueue events;        /* of GstEvent: what came behind it, and leaves behind it */
} GstDeimPending;

/* Frames wait here for their own result or for an earlier frame's. A live stream that is quicker than the device fills
 * the ring with frames that are not inferred: as many as come during an inference, within these bounds. */
#define GST_DEIM_RING       256
#define GST_DEIM_RING_LEAST 32
#define GST_DEIM_RING_BYTES (512 << 20)
/* The engine's limit of frames in flight. */
#define GST_DEIM_MAX_SLOTS 16

struct _GstDeimDetect {
  GstBaseTransform parent;

  GstDeimSettings settings;      /* object */
  gint settings_changed;         /* object: 1 << its id for each that the streaming thread has not read yet */
  GstDeimCounts counts;          /* object */
  GstClockTime earliest;         /* object: QoS, running time; NONE: no word from downstream */
  gdouble proportion;            /* object: QoS */
  gint64 busy;                   /* object: when there was an inference last (g_get_monotonic_time()) */
  gboolean live;                 /* object: upstream said so to a LATENCY query */
  GstClockTime upstream_latency; /* object: the least that upstream answered */
  GstClockTime latency;          /* object: what LATENCY queries are answered on top of it */
  GstClockTime configured;       /* object: the LATENCY event, which sinks keep to; NONE: none came yet */
  gboolean copies_dmabuf;        /* object: the device imports none */
  guint64 position;              /* object: stream time that was pushed last; NONE: nothing since the segment began */

  /* stream: between start and stop */
  GstDeimEngine *engine;
  DeimDetector *detector; /* written under both locks */
  guint slots;            /* likewise */
  /* stream: the settings in force */
  GstDeimFilter *filter;
  GstDeimRegion region;
  guint interval;
  gboolean qos, pass_through, post_messages;
  GstDeimMetaMode meta; /* since start */
  /* stream: caps */
  GstVideoInfo info;
  DeimFrame layout;      /* format and colorimetry; planes are filled in per frame */
  GstClockTime duration; /* of a frame; written under both locks */
  gboolean repack;       /* upstream was promised any stride, which downstream did not promise */
  gboolean repack_said;
  gboolean keeps_memory; /* the caps promise DMABufs: a copy would be none */
  gboolean try_dmabuf;   /* none was refused since the caps were set */
  /* stream: the ring */
  GstDeimPending ring[GST_DEIM_RING];
  guint first, pending;
  guint ring_limit;                      /* most that may be pending */
  guint submitted;                       /* inferences of frames in the ring */
  guint64 abandoned[GST_DEIM_MAX_SLOTS]; /* tickets of discarded frames: submitted + n_abandoned <= slots */
  guint n_abandoned;
  GArray *found; /* of GstDeimFound: the wanted detections of the frame at hand */
  guint64 next_frame;
  guint since_inferred; /* for inference-interval */
  gboolean overloaded;
  guint idle; /* frames in a row that found all slots free, while overloaded */
  guint cold; /* so many inferences compile shaders, or wait for one that does */
  gboolean gave_up;
  gint64 came;   /* when the last chain call began, */
  gint64 active; /* and when it ended */
  guint left;    /* frames that left since the last one came, in overload */
  gboolean region_warned;
  GstFlowReturn flow; /* OK or ERROR: met by the engine, or outside of the chain function; until a flush or a restart */
  gint flushing;      /* atomic: FLUSH_START to FLUSH_STOP, and while stopping */

  /* the thread that lets frames out when upstream sends nothing more for a while */
  GThread *linger;
  GMutex linger_lock;
  GCond linger_cond;
  gboolean linger_quit; /* linger_lock */
  gint64 linger_until;  /* linger_lock: monotonic; 0: no frame is waiting */
};

/* ---- gstdeimsettings.c: the properties */

void gst_deim_settings_install (GObjectClass *klass);
void gst_deim_settings_init (GstDeimDetect *self);
void gst_deim_settings_clear (GstDeimDetect *self);
/* Takes over what has changed, at start everything. Stream lock, or no data flows. FALSE with @error, which names all
 * that are wrong: for those the former settings stay in force, the others are taken over. */
gboolean gst_deim_settings_read (GstDeimDetect *self, GError **error);

/* ---- gstdeimflow.c: frames; the stream lock is held */

/* The @n-th oldest of the pending frames. */
GstDeimPending *gst_deim_flow_nth (GstDeimDetect *self, guint n);
/* Takes a buffer in: decides whether it is inferred, and submits it. Takes ownership. */
GstFlowReturn gst_deim_flow_enter (GstDeimDetect *self, GstBuffer *buffer);
/* Pushes the frames whose turn has come; waits for the oldest one when all slots are busy. */
GstFlowReturn gst_deim_flow_advance (GstDeimDetect *self);
/* Puts a serialized event behind the newest frame, if it may wait and a live stream must not. Takes it then. */
gboolean gst_deim_flow_hold_event (GstDeimDetect *self, GstEvent *event);
/* Waits for everything and pushes it. */
GstFlowReturn gst_deim_flow_drain (GstDeimDetect *self);
/* Throws everything away. */
void gst_deim_flow_discard (GstDeimDetect *self);
/* Pushes the oldest frame if it has been here for longer than the latency, and none has come for a while. Returns when
 * to look again, 0: when a frame comes. */
gint64 gst_deim_flow_push_overdue (GstDeimDetect *self);

/* ---- gstdeimsubmit.c; the stream lock is held */

/* Hands the picture of @frame to the engine, or sets its skip where there is nothing to look at. After an error, which
 * is posted, the frame is counted as discarded. Memory that is a DMABuf is read where it lies, if the device can; so
 * the buffer has to stay until the result is collected. */
GstFlowReturn gst_deim_submit (GstDeimDetect *self, GstDeimPending *frame);
/* Waits for the inference of @frame and takes its result. FLUSHING, and the frame stays as it is, when a flush comes.
 */
GstFlowReturn gst_deim_submit_collect (GstDeimDetect *self, GstDeimPending *frame);
/* Gives the slots of abandoned frames back whose inferences have ended. */
void gst_deim_submit_reap (GstDeimDetect *self);

/* ---- gstdeimspare.c; the stream lock is held */

/* Copies frames of the ring when they hold too many buffers of a pool that is limited, so that upstream has some. */
void gst_deim_spare_pool (GstDeimDetect *self);
/* Asks in an ALLOCATION query for buffers for the frames that stay here, on top of what downstream wants. */
void gst_deim_spare_grow_pools (GstDeimDetect *self, GstQuery *query);

/* ---- gstdeimpush.c; the stream lock is held */

/* Attaches what was found in @frame, which has left the ring, and pushes it. Takes its buffer and detections. */
GstFlowReturn gst_deim_push (GstDeimDetect *self, GstDeimPending *frame);

/* ---- gstdeimtiming.c; the stream lock is held */

/* Computes what LATENCY queries are answered and tells the application about a change; small ones only when @exact. */
void gst_deim_timing_update_latency (GstDeimDetect *self, gboolean exact);
/* One more inference took @microseconds. The first ones after a start or a caps change are not counted: they compile.
 */
void gst_deim_timing_note_inference (GstDeimDetect *self, gint64 microseconds);
/* Takes note of a QoS event. Whether it is for this element alone, which makes fewer inferences: a decoder that heard
 * of lateness would drop frames. From any thread. */
gboolean gst_deim_timing_hear_qos (GstDeimDetect *self, GstEvent *event);
/* Whether downstream has no use for a result of @frame any more. */
gboolean gst_deim_timing_is_late (GstDeimDetect *self, const GstDeimPending *frame);
/* Says on the bus that @frame is not inferred. */
void gst_deim_timing_post_qos (GstDeimDetect *self, const GstDeimPending *frame);
/* Whether @frame, whose result is there, came so late that a sink wants it by the time of this chain call, and may
 * leave before the latency is over: not sooner than an inference takes, so that what is late for good leaves as evenly
 * as what is not. */
gboolean gst_deim_timing_is_overdue (GstDeimDetect *self, const GstDeimPending *frame);
/* When @frame has to leave, in monotonic time. */
gint64 gst_deim_timing_deadline (GstDeimDetect *self, const GstDeimPending *frame);
/* Makes the linger thread look at the oldest frame at @until, unless it will look earlier. */
void gst_deim_timing_arm (GstDeimDetect *self, gint64 until);
/* Without the stream lock. */
void gst_deim_timing_start (GstDeimDetect *self);
void gst_deim_timing_stop (GstDeimDetect *self);

G_END_DECLS
