/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * deim.h - the public interface of libdeim.
 *
 * A checkpoint becomes a DeimModel, a Vulkan device a DeimDevice, and the two
 * together a DeimDetector, into which the frames of a video go and out of which
 * detections come (for several videos at a time: DeimEngine):
 *
 *     g_autoptr (DeimModel) model = deim_model_load ("n.pth", NULL, &error);
 *     g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
 *     g_autoptr (DeimDetector) detector = deim_detector_new (model, device, NULL, &error);
 *     guint64 ticket;
 *     deim_detector_submit (detector, &frame, &ticket, &error);
 *     g_autoptr (GArray) found = deim_detector_collect (detector, ticket, &error);
 *
 * Rules that hold for every function:
 *  - Objects are reference counted; `_new`, `_load` and `_open` return one
 *    reference that the caller owns, or NULL with `error` set.
 *  - Functions with a GError return FALSE or NULL exactly when they set it, and
 *    leave every out-parameter untouched then.
 *  - Strings returned as `const gchar *` belong to the object.
 *  - Thread-safety is stated per type. "Safe" means any function of the type
 *    may be called from any thread at any time.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#ifndef DEIM_API
#define DEIM_API __attribute__ ((visibility ("default")))
#endif

/* ------------------------------------------------------------------ errors */

/**
 * DEIM_ERROR: the error domain of everything in libdeim.
 * Messages name the cause first and the mend after it.
 */
#define DEIM_ERROR (deim_error_quark ())
DEIM_API GQuark deim_error_quark (void);

typedef enum {
  DEIM_ERROR_NOT_FOUND,    /* a file or device that does not exist */
  DEIM_ERROR_READ,         /* a file that cannot be read */
  DEIM_ERROR_WRITE,        /* a file that cannot be written */
  DEIM_ERROR_FORMAT,       /* a file that is damaged, hostile or of no known kind */
  DEIM_ERROR_ARCHITECTURE, /* a state dict that is not one of the known networks */
  DEIM_ERROR_SETTINGS,     /* an option or argument out of range */
  DEIM_ERROR_NO_DEVICE,    /* no usable Vulkan device */
  DEIM_ERROR_DEVICE,       /* a Vulkan call failed */
  DEIM_ERROR_DEVICE_LOST,  /* the device was lost; drop all objects and open it again */
  DEIM_ERROR_MEMORY,       /* out of device memory */
  DEIM_ERROR_BUSY,         /* no free slot: collect a frame first */
  DEIM_ERROR_UNSUPPORTED,  /* a legal request that this build or device cannot serve */
} DeimError;

/* ------------------------------------------------------------------ device */

/**
 * DeimDevice: one Vulkan device with its queue, memory and pipelines.
 * Thread-safety: safe.
 */
typedef struct _DeimDevice DeimDevice;

/**
 * deim_device_open:
 * @selector: (nullable): an index ("0"), a device UUID (32 hex digits, dashes
 *   allowed), or a part of a device name in any case; NULL or "" takes
 *   $DEIM_DEVICE, else the best device (discrete, integrated, virtual, CPU).
 *
 * Creates a VkInstance and VkDevice. Errors: DEIM_ERROR_NO_DEVICE when nothing
 * matches (the message lists what is there) or no Vulkan loader is installed.
 */
DEIM_API DeimDevice *deim_device_open (const gchar *selector, GError **error);

/**
 * deim_device_open_full:
 * @selector: (nullable): as for deim_device_open()
 * @cache_dir: (nullable): the folder for compiled pipelines, made when it is
 *   not there; NULL or "" is $XDG_CACHE_HOME/gst-deim. Where it cannot be
 *   written, pipelines are compiled and the device is tested anew each time;
 *   that is no error here, and deim_device_check_cache() tells.
 */
DEIM_API DeimDevice *deim_device_open_full (const gchar *selector, const gchar *cache_dir, GError **error);
DEIM_API DeimDevice *deim_device_ref (DeimDevice *device);
DEIM_API void deim_device_unref (DeimDevice *device);

/**
 * deim_device_check_cache: FALSE with DEIM_ERROR_WRITE, which names the folder
 * and the cause, when nothing can be kept for the next start. Tries by writing
 * an empty file, which it removes.
 */
DEIM_API gboolean deim_device_check_cache (DeimDevice *device, GError **error);

/** deim_device_get_name: the driver's name of the device, "llvmpipe (LLVM 15.0.6, 256 bits)". */
DEIM_API const gchar *deim_device_get_name (DeimDevice *device);

/**
 * deim_device_describe: a report for people: device, driver, memory, and each
 * policy decision with its reason, one per line. Free with g_free().
 */
DEIM_API gchar *deim_device_describe (DeimDevice *device);

/**
 * deim_device_imports_dmabuf: FALSE where deim_detector_submit() takes no
 * DMABuf at all; deim_device_describe() has the reason. Where it is TRUE, a
 * particular one may still be refused.
 */
DEIM_API gboolean deim_device_imports_dmabuf (DeimDevice *device);

/** What a device does at most, measured. */
typedef struct {
  gdouble gflops; /* fp32 multiplications and additions a second, on registers, in 10^9 */
  gdouble gbytes; /* bytes read and written a second by copying memory, in 10^9 */
} DeimDevicePeaks;

/**
 * deim_device_measure_peaks: for rooflines. Keeps the device busy for some
 * tenths of a second, by its own clock where it has one; what else it does in
 * that time makes the figures smaller. Needs 256 MB at most.
 */
DEIM_API gboolean deim_device_measure_peaks (DeimDevice *device, DeimDevicePeaks *peaks, GError **error);

/** deim_device_list: the names of all Vulkan devices, in index order. NULL-terminated; empty when there is none. */
DEIM_API gchar **deim_device_list (GError **error);

/* ------------------------------------------------------------------- model */

/**
 * DeimModel: a checkpoint, recognised: architecture, parameters, labels, input size.
 * Immutable after loading. Thread-safety: safe.
 */
typedef struct _DeimModel DeimModel;

typedef struct {
  const gchar *arch;        /* NULL: read off the state dict. A name of deim_arch_list() overrules the choice */
  const gchar *labels_file; /* NULL: labels of the file, else built in by class count. One label a line */
} DeimModelOptions;

/** What a checkpoint turned out to be. Strings belong to the model. */
typedef struct {
  const gchar *arch;   /* "deimv2_atto" */
  const gchar *family; /* "DEIMv2" */
  const gchar *size;   /* "Atto" */
  guint num_classes;
  guint num_queries;
  guint input_width; /* the size it was trained for */
  guint input_height;
  guint64 parameters; /* trainable numbers, each shared tensor once */
  gdouble gflops;     /* 2 x multiply-adds of convolutions, linears and attention, one frame at the input size */
} DeimModelInfo;

/**
 * DEIM_MODEL_DEFAULT: wherever the path of a model is taken, the one that is
 * part of the library: small, and trained on made-up pictures of six shapes
 * (models/README.md). A file of this name is "./default".
 */
#define DEIM_MODEL_DEFAULT "default"

/**
 * deim_model_load:
 * @path: a .safetensors file, a PyTorch checkpoint (zip or pre-1.6 form), or an
 *   official ONNX export where the build can read those; or DEIM_MODEL_DEFAULT
 * @options: (nullable)
 *
 * Reads the file, recognises the architecture and checks every tensor's name
 * and shape. Nothing in the file is executed. Errors: DEIM_ERROR_NOT_FOUND,
 * DEIM_ERROR_READ, DEIM_ERROR_FORMAT, DEIM_ERROR_ARCHITECTURE, and
 * DEIM_ERROR_UNSUPPORTED for DEIM_MODEL_DEFAULT in a build without it.
 */
DEIM_API DeimModel *deim_model_load (const gchar *path, const DeimModelOptions *options, GError **error);
DEIM_API DeimModel *deim_model_ref (DeimModel *model);
DEIM_API void deim_model_unref (DeimModel *model);
DEIM_API const DeimModelInfo *deim_model_get_info (DeimModel *model);

/** deim_model_get_label: the name of class @index (0 .. num_classes-1). */
DEIM_API const gchar *deim_model_get_label (DeimModel *model, guint index);

/**
 * deim_model_get_notes: what was decided that the state dict alone does not
 * say, each with its evidence ("input size 320x320 (height x width): the usual one of deimv2_atto").
 */
DEIM_API const gchar *const *deim_model_get_notes (DeimModel *model);

/**
 * deim_model_get_guesses: those of the notes on which published networks of
 * the same tensors differ, and that rest on the file's name or on a default.
 * Worth telling a user: a wrong one makes detections worse, not absent.
 * DeimModelOptions.arch overrules them, and a converted file has none.
 */
DEIM_API const gchar *const *deim_model_get_guesses (DeimModel *model);

/**
 * deim_model_save:
 * @path: the file to write, in .safetensors format; what is there is replaced
 * @narrow: FALSE: every tensor with its own dtype and bytes. TRUE: floats as
 *   binary16, which halves the file, but in tensors with numbers beyond its range
 *
 * Writes every tensor of the checkpoint, those of training included, under its
 * official name, and what was decided beside them into the metadata:
 * "deim.arch" (the architecture with every value that shapes do not tell) and
 * "deim.labels". A model loaded from the result needs no options and guesses
 * nothing. @path appears when it is complete. Errors: DEIM_ERROR_SETTINGS when
 * @path is the file that @model was loaded from, DEIM_ERROR_WRITE.
 */
DEIM_API gboolean deim_model_save (DeimModel *model, const gchar *path, gboolean narrow, GError **error);

/* ----------------------------------------------------------------- network */

typedef enum {
  DEIM_PRECISION_AUTO, /* the device policy's choice: fp16 storage on GPUs, fp32 with Winograd on CPUs */
  DEIM_PRECISION_FP32, /* nothing but the order of sums differs from PyTorch */
  DEIM_PRECISION_FP16, /* fp16 storage, fp32 arithmetic */
} DeimPrecision;

/**
 * DeimNetwork: a model made ready for one input size on one device: folded,
 * fused, planned and recorded. Raw tensors in, raw tensors out.
 * Thread-safety: one call at a time per object.
 */
typedef struct _DeimNetwork DeimNetwork;

/**
 * deim_network_new:
 * @batch: pictures per run, >= 1
 * @height, @width: input size; 0 takes the model's. Multiples of 32.
 */
DEIM_API DeimNetwork *deim_network_new (DeimModel *model, DeimDevice *device, guint batch, guint height, guint width,
                                        DeimPrecision precision, GError **error);
DEIM_API void deim_network_free (DeimNetwork *network);

/**
 * deim_network_run:
 * @input: [batch,3,height,width] RGB in 0..1
 * @logits: (out caller-allocates) (nullable): [batch,Q,C] before the sigmoid
 * @boxes: (out caller-allocates) (nullable): [batch,Q,4] cx,cy,w,h in 0..1
 * @tokens: (out caller-allocates) (nullable): [batch,Q] the encoder token each
 *   query came from, levels finest first, row-major inside a level
 *
 * Runs and waits. Rows stand in selection order (descending encoder score).
 */
DEIM_API gboolean deim_network_run (DeimNetwork *network, const gfloat *input, gfloat *logits, gfloat *boxes,
                                    gint64 *tokens, GError **error);

/** One line of a profile: a dispatch, or a sum of dispatches. */
typedef struct {
  gchar name[64];  /* node or stage or op kind */
  gchar op[32];    /* op kind, "conv2d" */
  gchar stage[16]; /* "upload" "preprocess" "backbone" "encoder" "decoder" "postprocess" "readback" */
  gdouble ms;      /* device time, last run */
  gdouble gflop;   /* arithmetic of it, 0 where not counted */
  gdouble gbyte;   /* operands and results, each whole and once, in 10^9 bytes; 0 where not counted */
} DeimProfileEntry;

/* ---------------------------------------------------------------- detector */

/** Pixel layouts that deim_detector_submit() reads. Names and memory layouts are GstVideoFormat's. */
typedef enum {
  DEIM_FORMAT_INVALID,
  DEIM_FORMAT_RGB,
  DEIM_FORMAT_BGR,
  DEIM_FORMAT_RGBX,
  DEIM_FORMAT_BGRX,
  DEIM_FORMAT_XRGB,
  DEIM_FORMAT_XBGR,
  DEIM_FORMAT_RGBA,
  DEIM_FORMAT_BGRA,
  DEIM_FORMAT_ARGB,
  DEIM_FORMAT_ABGR,
  DEIM_FORMAT_GRAY8,
  DEIM_FORMAT_I420,
  DEIM_FORMAT_YV12,
  DEIM_FORMAT_NV12,
  DEIM_FORMAT_NV21,
  DEIM_FORMAT_YUY2,
  DEIM_FORMAT_UYVY,
  DEIM_FORMAT_Y42B,
  DEIM_FORMAT_Y444,
  DEIM_FORMAT_P010_10LE,
  DEIM_FORMAT_I420_10LE,
  DEIM_FORMAT_LAST
} DeimFormat;

/** deim_format_from_name: "NV12" -> DEIM_FORMAT_NV12; DEIM_FORMAT_INVALID if unknown. Names as in GStreamer caps. */
DEIM_API DeimFormat deim_format_from_name (const gchar *name);
DEIM_API const gchar *deim_format_to_name (DeimFormat format);

typedef enum {
  DEIM_MATRIX_BT601,
  DEIM_MATRIX_BT709,
  DEIM_MATRIX_BT2020,
  DEIM_MATRIX_SMPTE240M,
  DEIM_MATRIX_FCC
} DeimMatrix;
typedef enum { DEIM_RANGE_LIMITED, DEIM_RANGE_FULL } DeimRange;

/** Where the planes of a picture lie that is in a DMABuf: a frame of a decoder, a camera or another device. */
typedef struct {
  gint fd[4];      /* of each plane; the caller's */
  gsize offset[4]; /* bytes in front of the plane */
} DeimDmabuf;

/** A picture in memory of the caller. Planes in the order of the format, rows one after the other; strides in bytes. */
typedef struct {
  DeimFormat format;
  guint width, height; /* pixels of the whole frame */
  const guint8 *data[4];
  guint stride[4];
  DeimMatrix matrix;        /* ignored for RGB and gray */
  DeimRange range;          /* likewise */
  guint region_x, region_y; /* the part to look at; */
  guint region_w, region_h; /* 0 x 0 is the whole frame */
  const DeimDmabuf *dmabuf; /* (nullable): the planes lie there, and `data` is not looked at */
} DeimFrame;

/** One detection. Pixels of the incoming frame, not clipped to it. */
typedef struct {
  gfloat x1, y1, x2, y2;
  gfloat score; /* sigmoid of the class logit */
  guint label;  /* class index */
  guint query;  /* which query said so */
} DeimDetection;

typedef enum { DEIM_RESIZE_STRETCH, DEIM_RESIZE_LETTERBOX } DeimResize;

typedef struct {
  guint in_flight;      /* of a detector: frames submitted and not collected, 1..16; 0: 2 */
  DeimResize resize;    /* of a detector */
  guint max_detections; /* rows kept by the top-k over (query, class); 0: 300 */
  guint height, width;  /* network input; 0: the model's */
  DeimPrecision precision;
  gboolean timestamps; /* measure stages, for deim_detector_get_profile() */
  /* Frames that wait at the same time are computed together: so many at most, 1..16. 0: one for each detector of an
   * engine, up to 8, where the device gains by it, else 1. A batch may be partial, and a frame's detections do not
   * depend on its company. With another size of batch a GPU may sum in another order; a CPU does not, unless it was
   * tuned (deim_device_tune()) for one of the two. */
  guint batch;
  /* Milliseconds for which an idle device waits for a batch to fill while more frames may come; see
   * deim_detector_rest(). With 0, the default, it never waits, and batches grow with the load. */
  guint batch_timeout;
} DeimDetectorOptions;

/**
 * DeimEngine: a model made ready for a device and for any number of detectors,
 * one for each stream of frames, that share weights, memory and the device's
 * time: round robin, whole batches where there is the load for it. No stream
 * waits for another one, be it slow, stalled, failing or removed.
 * Thread-safety: safe.
 */
typedef struct _DeimEngine DeimEngine;

/** deim_engine_new: @options: (nullable): in_flight and resize are not looked at. */
DEIM_API DeimEngine *deim_engine_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options,
                                      GError **error);
DEIM_API DeimEngine *deim_engine_ref (DeimEngine *engine);
DEIM_API void deim_engine_unref (DeimEngine *engine);
DEIM_API DeimModel *deim_engine_get_model (DeimEngine *engine);   /* (transfer none) */
DEIM_API DeimDevice *deim_engine_get_device (DeimEngine *engine); /* (transfer none) */

/**
 * DeimDetector: frames in, detections out, several in flight.
 * Thread-safety: safe. Frames are computed in the order of submission.
 */
typedef struct _DeimDetector DeimDetector;

/** deim_detector_new: a detector with an engine of its own. */
DEIM_API DeimDetector *deim_detector_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options,
                                          GError **error);

/**
 * deim_engine_add_detector: one more stream.
 * @in_flight, @resize: as in DeimDetectorOptions
 *
 * At any time, while others work; it leaves with its last reference, and its
 * frames with it. The detector keeps the engine alive. May take as long as
 * making the engine did, where it has to grow; others do not wait for that.
 */
DEIM_API DeimDetector *deim_engine_add_detector (DeimEngine *engine, guint in_flight, DeimResize resize,
                                                 GError **error);
DEIM_API DeimDetector *deim_detector_ref (DeimDetector *detector);
DEIM_API void deim_detector_unref (DeimDetector *detector);
DEIM_API DeimModel *deim_detector_get_model (DeimDetector *detector);   /* (transfer none) */
DEIM_API DeimDevice *deim_detector_get_device (DeimDetector *detector); /* (transfer none) */
DEIM_API DeimEngine *deim_detector_get_engine (DeimDetector *detector); /* (transfer none) */
DEIM_API guint deim_detector_get_in_flight (DeimDetector *detector);

/**
 * deim_detector_submit:
 * @frame: read during the call only; its pixels are copied once, to device
 *   memory. Those of a DMABuf are not: the device reads them where they lie,
 *   and they must not change until the frame is collected
 * @ticket: (out): to be given to deim_detector_collect() exactly once
 *
 * Starts inference of @frame, or lets it wait its turn, and returns.
 * DEIM_ERROR_BUSY when `in_flight` frames are out that nobody collected. A change of format or size is recorded anew,
 * and a DMABuf is imported when it comes for the first time; otherwise nothing
 * is allocated. DEIM_ERROR_UNSUPPORTED where a DMABuf cannot be read in place,
 * with the reason: submit the same frame with `data` instead.
 */
DEIM_API gboolean deim_detector_submit (DeimDetector *detector, const DeimFrame *frame, guint64 *ticket,
                                        GError **error);

/**
 * deim_detector_collect: waits for @ticket and returns its detections, best
 * first, as a GArray of DeimDetection that the caller owns (at most
 * max_detections; nothing is filtered by score). Its place is free then, also
 * on error.
 */
DEIM_API GArray *deim_detector_collect (DeimDetector *detector, guint64 ticket, GError **error);

/** deim_detector_is_done: whether collecting @ticket would return at once. */
DEIM_API gboolean deim_detector_is_done (DeimDetector *detector, guint64 ticket);

/**
 * deim_detector_get_end_time: when the inference of @ticket ended, in microseconds of g_get_monotonic_time(); 0 while
 * it has not, and for a ticket that was collected.
 */
DEIM_API gint64 deim_detector_get_end_time (DeimDetector *detector, guint64 ticket);

/**
 * deim_detector_wait: deim_detector_is_done(), after sleeping for up to @microseconds (G_MAXUINT64: for as long as it
 * takes) until it would be TRUE. Does not sleep while the detector is flushing.
 */
DEIM_API gboolean deim_detector_wait (DeimDetector *detector, guint64 ticket, guint64 microseconds);

/**
 * deim_detector_set_flushing: wakes whoever sleeps in deim_detector_wait(), and lets nobody sleep there, until it is
 * set to FALSE again: for a stream that is to stop or to jump at once. Nothing else changes.
 */
DEIM_API void deim_detector_set_flushing (DeimDetector *detector, gboolean flushing);

/** deim_detector_drop: gives @ticket's place back without its result, when the device is through with it. */
DEIM_API void deim_detector_drop (DeimDetector *detector, guint64 ticket);

/**
 * deim_detector_rest: nothing is submitted until the frames that are out have been collected: batches do not wait for
 * more of this stream, nor for it at all, until the next submission. For whoever has handed in the last frame, or waits
 * for one; without options.batch_timeout it changes nothing.
 */
DEIM_API void deim_detector_rest (DeimDetector *detector);

/** Figures of a detector, for people and benchmarks. */
typedef struct {
  guint dispatches;    /* per batch of one frame */
  guint64 arena_bytes; /* activations, one batch of the two that may be on the device */
  guint64 weight_bytes;
  gdouble setup_ms; /* making the engine, and making room for its detectors, took this long */
  guint streams;    /* detectors of the engine */
  guint batch;      /* frames computed at a time, at most */
  guint64 batches;  /* that were computed, of all streams, */
  guint64 frames;   /* and the frames in them */
} DeimDetectorStats;
DEIM_API void deim_detector_get_stats (DeimDetector *detector, DeimDetectorStats *stats);
DEIM_API void deim_engine_get_stats (DeimEngine *engine, DeimDetectorStats *stats);

/**
 * deim_detector_get_profile: device time of every dispatch of the frame that
 * was computed last, in order, as a GArray of DeimProfileEntry; those of the
 * network are its whole batch's. Empty unless options.timestamps was set.
 */
DEIM_API GArray *deim_detector_get_profile (DeimDetector *detector);

/* ------------------------------------------------------------------ tuning */

/** What was found out about layers of one kind: of one shape, and so of one description. */
typedef struct {
  gchar layer[80];  /* "conv2d 3x3/1 64>64 40x40 x1 auto": kernel and stride, channels, result, batch, precision */
  guint count;      /* layers like it in the network */
  gchar usual[24];  /* the variant of the kernel that they get untuned, "rows-4x8", */
  gdouble usual_ms; /* and their time in all */
  gchar best[24];   /* the fastest one; the usual one where none is faster by more than chance */
  gdouble best_ms;
} DeimTunedLayer;

/** DeimTuneFunc: before each frame: frame @frame, from 0 on, of step @step of @steps, which tries @variant. FALSE ends
 * the tuning; what was found so far is kept. */
typedef gboolean (*DeimTuneFunc) (const gchar *variant, guint step, guint steps, guint frame, gpointer user_data);

/**
 * deim_device_tune:
 * @options: (nullable): height, width, precision and batch are looked at; layers of other sizes are others
 * @frames: to measure with each variant, >= 1
 * @progress: (nullable)
 *
 * Runs the network of @model with each variant that its layers' kernels have, notes which is the fastest for each kind
 * of layer, and keeps that in a file beside the pipeline cache, after each variant. Networks use it that are made on
 * devices opened afterwards, of whatever model: of the same driver, build and features in use. A variant that computes
 * wrongly on the device is warned of and left out. Takes minutes on a CPU. Returns a GArray of DeimTunedLayer that the
 * caller owns. DEIM_ERROR_UNSUPPORTED where the device measures no time, DEIM_ERROR_WRITE.
 */
DEIM_API GArray *deim_device_tune (DeimDevice *device, DeimModel *model, const DeimDetectorOptions *options,
                                   guint frames, DeimTuneFunc progress, gpointer user_data, GError **error);

/** deim_device_get_tuning_file: where that is, whether it is there or not; NULL without a cache. Free with g_free(). */
DEIM_API gchar *deim_device_get_tuning_file (DeimDevice *device);

/** deim_device_forget_tuning: removes it; TRUE also where there is none. */
DEIM_API gboolean deim_device_forget_tuning (DeimDevice *device, GError **error);

/* --------------------------------------------------------------- utilities */

/** deim_version: "0.1.0". */
DEIM_API const gchar *deim_version (void);

/** deim_arch_list: names that DeimModelOptions.arch takes, NULL-terminated. */
DEIM_API const gchar *const *deim_arch_list (void);

/** A published network, as its authors configure it. Strings are static. */
typedef struct {
  const gchar *family;   /* "DEIM-D-FINE" */
  const gchar *size;     /* "N" */
  const gchar *backbone; /* "HGNetv2 B0" */
  guint input_width;     /* the size it is trained for */
  guint input_height;
  guint num_queries;
  guint num_classes;
} DeimArchInfo;

/** deim_arch_get_info: what @name of deim_arch_list() is; FALSE, and @ret_info untouched, if it is none of them. */
DEIM_API gboolean deim_arch_get_info (const gchar *name, DeimArchInfo *ret_info);

/**
 * DeimLogFunc: receives one line without newline. Level: G_LOG_LEVEL_{WARNING,MESSAGE,INFO,DEBUG}.
 * Called from any thread.
 */
typedef void (*DeimLogFunc) (GLogLevelFlags level, const gchar *message, gpointer user_data);

/**
 * deim_set_log_func: where the library's messages go, for the whole process. For the program; NULL takes it back, and
 * the default is used: deim_set_default_log_func(), else g_log(). Thread-safety: safe.
 */
DEIM_API void deim_set_log_func (DeimLogFunc func, gpointer user_data);

/**
 * deim_set_default_log_func: where messages go as long as the program itself has set nothing, whichever of the two is
 * set first. For plugins and libraries over this one, as the program is not theirs; NULL is g_log().
 * Thread-safety: safe.
 */
DEIM_API void deim_set_default_log_func (DeimLogFunc func, gpointer user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimModel, deim_model_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimDevice, deim_device_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimNetwork, deim_network_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimEngine, deim_engine_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimDetector, deim_detector_unref)

G_END_DECLS
