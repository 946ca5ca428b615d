/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * preprocess.h - from a frame to the network's input, and from the network's
 * boxes back to the frame.
 *
 *     frame --crop--> region --colour--> 8-bit RGB --resize--> 8-bit RGB --/255--> [3][height][width]
 *
 * Crop: the frame's region. Colour: format, matrix and range; chroma of
 * subsampled formats is repeated (nearest; what GStreamer's converter does in
 * its fast paths), alpha is ignored, interlaced frames are taken as
 * progressive. Resize: Pillow's antialiased bilinear with its 8-bit steps
 * (resize.h), aspect ignored; or letterbox: aspect kept, centred, the rest
 * filled with gray 114.
 *
 * A DeimPreprocess is made for one frame geometry (format, size, colour,
 * region) and one output size. It can do the work on the processor (the
 * specification), and it is the plan of two dispatches that do the same on a
 * device: the same bytes, their division by 255 to within rounding. It knows
 * no Vulkan: buffers are roles, the rest is numbers.
 *
 * Thread-safety: all functions but init and finish may run at once on one object.
 */
#pragma once

#include "colour.h"
#include "format.h"
#include "resize.h"

#define DEIM_LETTERBOX_GRAY 114

/* ---------------------------------------------------------------- the plan */

typedef enum {
  DEIM_PREPROCESS_FRAME,   /* staging_size bytes, filled by deim_preprocess_upload() */
  DEIM_PREPROCESS_TABLE,   /* table_size bytes, uploaded once: resize weights */
  DEIM_PREPROCESS_SCRATCH, /* scratch_size bytes, between the two dispatches */
  DEIM_PREPROCESS_OUTPUT,  /* vec4 (r, g, b, 0) at [first + y * width + x], fp32 or fp16 */
  DEIM_PREPROCESS_PLACE,   /* a word: that `first`, b * height * width for entry b of a batch */
  DEIM_PREPROCESS_N_BUFFERS
} DeimPreprocessBuffer;

typedef enum {
  DEIM_PREPROCESS_READ_WORD,  /* uints: texel buffer VK_FORMAT_R32_UINT, or storage buffer */
  DEIM_PREPROCESS_READ_WORD4, /* four at a time: VK_FORMAT_R32G32B32A32_UINT, or storage buffer */
  DEIM_PREPROCESS_WRITE,      /* storage buffer */
} DeimPreprocessAccess;

#define DEIM_PREPROCESS_BINDINGS 4
#define DEIM_PREPROCESS_SPEC     8
#define DEIM_PREPROCESS_PUSH     24

/* One dispatch. Binding 2 is written; its bit in constant_id 2 says that OUTPUT is fp16 (shaders/io.glsl). */
typedef struct {
  const gchar *shader;                /* shaders/<shader>.comp */
  guint32 spec[DEIM_PREPROCESS_SPEC]; /* constant_id 4 upwards */
  guint n_spec;
  guint32 push[DEIM_PREPROCESS_PUSH]; /* 32-bit words */
  guint n_push;
  struct {
    DeimPreprocessBuffer buffer;
    DeimPreprocessAccess access;
  } bind[DEIM_PREPROCESS_BINDINGS]; /* binding number = index */
  guint n_bind;
  guint local_size;
  guint32 groups[3];
} DeimPreprocessDispatch;

/* dispatch[0].push[this] and the five after it: where R G B or Y U V begin in FRAME, and their strides, in words. */
#define DEIM_PREPROCESS_PUSH_PLANES 4

/* Where a plane of the staged part of the frame lies. That part begins at the multiple of eight columns, and at the row
 * of the chroma, that hold the region's corner. */
typedef struct {
  guint source_x, source_y; /* bytes into a row of the frame's plane, and rows */
  guint row_bytes, rows;
  guint stride; /* in staging, a multiple of four */
  gsize offset; /* in staging, a multiple of 64 */
} DeimStagedPlane;

typedef struct {
  /* made for */
  const DeimFormatInfo *info;
  guint frame_width, frame_height;
  DeimMatrix matrix;
  DeimRange range;
  DeimRegion region;
  guint width, height; /* output */
  DeimResize resize;

  /* decided */
  guint inner_x, inner_y, inner_w, inner_h; /* where the picture lies in the output: all of it, unless letterboxed */
  DeimColour colour;
  DeimResample horizontal, vertical;

  /* the device's part */
  DeimStagedPlane plane[DEIM_FRAME_MAX_PLANES];
  gsize staging_size;
  gint32 *table;
  gsize table_size;
  gsize scratch_size;
  DeimPreprocessDispatch dispatch[2]; /* with a barrier between */
} DeimPreprocess;

/*
 * @frame: checked here (deim_frame_check()); its pixels are not looked at.
 * @width, @height: of the output, 1 .. DEIM_FRAME_MAX_SIZE.
 * DEIM_ERROR_SETTINGS; DEIM_ERROR_UNSUPPORTED where a buffer would pass the 128 MiB that every device can bind.
 */
gboolean deim_preprocess_init (DeimPreprocess *p, const DeimFrame *frame, guint width, guint height, DeimResize resize,
                               GError **error);
void deim_preprocess_finish (DeimPreprocess *p); /* accepts a zeroed object */

/* Whether @frame, already checked, has the geometry that @p was made for. Strides do not matter. */
gboolean deim_preprocess_matches (const DeimPreprocess *p, const DeimFrame *frame);

/*
 * Copies the region's rows to @staging (staging_size bytes): one memcpy per
 * plane where the frame's stride is the natural one (rows padded to four
 * bytes, as GStreamer allocates), else one per row. Padding is not read
 * beyond the last row's last pixel. @frame: checked, and matching.
 */
void deim_preprocess_upload (const DeimPreprocess *p, const DeimFrame *frame, guint8 *staging);

/*
 * dispatch[0] for a frame that is not staged but read where it lies: in a buffer of @size bytes (FRAME is bound to it),
 * each plane at @at's offset with rows @stride bytes apart. DEIM_ERROR_UNSUPPORTED where that cannot be done; stage it.
 */
gboolean deim_preprocess_read_in_place (const DeimPreprocess *p, const DeimDmabuf *at, const guint *stride, gsize size,
                                        DeimPreprocessDispatch *ret_dispatch, GError **error);

/* ------------------------------------------------------- on the processor */

/* The region of @frame as RGB, three bytes a pixel, rows without padding: @ret_rgb [region.h][region.w][3]. */
void deim_preprocess_convert (const DeimPreprocess *p, const DeimFrame *frame, guint8 *ret_rgb);

/* The whole way: @ret_output [3][height][width] in 0..1. */
void deim_preprocess_reference (const DeimPreprocess *p, const DeimFrame *frame, gfloat *ret_output);

/* ------------------------------------------------------------------- boxes */

/* A box of the network (centre and size, 0..1 of its input) in pixels of the whole frame, not clipped. */
void deim_preprocess_map_box (const DeimPreprocess *p, const gfloat cxcywh[4], gfloat ret_xyxy[4]);
