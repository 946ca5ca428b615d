/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * format.h - the pixel formats of deim.h as a table: where each sample of a
 * picture lies. Everything else in this folder, and the shader's choice of
 * loads, is derived from it. Names and layouts are GstVideoFormat's.
 */
#pragma once

#include "../deim.h"

#define DEIM_FRAME_MAX_PLANES 3
#define DEIM_FRAME_MAX_SIZE   16384 /* pixels of a side */

/* How samples are interleaved. The numbers are known to shaders/frame.glsl. */
typedef enum {
  DEIM_LAYOUT_GRAY = 0,         /* one plane of luma */
  DEIM_LAYOUT_RGB24 = 1,        /* three bytes a pixel */
  DEIM_LAYOUT_RGB32 = 2,        /* four bytes a pixel, one unused (alpha is ignored: not blended, not multiplied) */
  DEIM_LAYOUT_PLANAR = 3,       /* Y, U, V */
  DEIM_LAYOUT_SEMIPLANAR = 4,   /* Y, UV pairs */
  DEIM_LAYOUT_PACKED422 = 5,    /* two pixels in four bytes */
  DEIM_LAYOUT_PLANAR16 = 6,     /* as PLANAR, 10 bits in the low end of little-endian 16 */
  DEIM_LAYOUT_SEMIPLANAR16 = 7, /* as SEMIPLANAR, 10 bits in the high end of little-endian 16 */
} DeimPixelLayout;

/* A plane is made of groups: `bytes` for (1 << h_shift) x (1 << v_shift) pixels. */
typedef struct {
  guint8 bytes, h_shift, v_shift;
} DeimPlaneInfo;

/* Sample of pixel (x, y): at data[plane] + (y >> v_shift) * stride + (x >> h_shift) * step + offset. */
typedef struct {
  guint8 plane, offset, step, h_shift, v_shift;
} DeimSampleInfo;

typedef struct {
  DeimFormat format;
  const gchar *name;
  DeimPixelLayout layout;
  guint8 n_planes;
  guint8 depth; /* bits of a sample; more than 8 means two bytes, little-endian */
  guint8 shift; /* right shift that brings the sample's lowest bit to bit 0 */
  gboolean yuv; /* samples are Y, U, V; else R, G, B (gray: three times the same) */
  DeimPlaneInfo plane[DEIM_FRAME_MAX_PLANES];
  DeimSampleInfo sample[3]; /* R, G, B or Y, U, V */
} DeimFormatInfo;

/* NULL if @format is none of the table. */
const DeimFormatInfo *deim_format_get_info (DeimFormat format);

/* Bytes that a row of plane @plane holds for @width pixels, without padding; rows it has for @height pixels. */
guint deim_format_row_bytes (const DeimFormatInfo *info, guint plane, guint width);
guint deim_format_rows (const DeimFormatInfo *info, guint plane, guint height);

/*
 * Whether @frame can be read: a known format, planes there, strides that hold a
 * row, a region inside, 1 .. DEIM_FRAME_MAX_SIZE pixels a side. DEIM_ERROR_SETTINGS.
 */
gboolean deim_frame_check (const DeimFrame *frame, GError **error);

typedef struct {
  guint x, y, w, h;
} DeimRegion;

/* The region of a checked frame: all of it where the frame names none. */
DeimRegion deim_frame_get_region (const DeimFrame *frame);
