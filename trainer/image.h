/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.h - pictures in memory: 8-bit RGB, rows without padding. Reading them
 * from files takes gdk-pixbuf, which the build may lack.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include <glib.h>

#define DEIM_IMAGE_MAX_SIDE 32768

typedef struct {
  guint width, height;
  guint8 *pixels; /* [height][width][3] */
} DeimImage;

DeimImage *deim_image_new (guint width, guint height); /* black */
DeimImage *deim_image_copy (const DeimImage *image);
void deim_image_free (DeimImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimImage, deim_image_free)

static inline guint8 *
deim_image_at (const DeimImage *image, guint x, guint y)
{
  return image->pixels + ((gsize) y * image->width + x) * 3;
}

/* A copy of another size, aspect ignored: Pillow's antialiased bilinear, as inference does it (engine/image/resize.h).
 */
DeimImage *deim_image_resize (const DeimImage *image, guint width, guint height);

/* Copies the part of @source at x, y, width, height to @target at @to_x, @to_y. Both rectangles must be inside. */
void deim_image_copy_part (const DeimImage *source, guint x, guint y, guint width, guint height, DeimImage *target,
                           guint to_x, guint to_y);

/* Planes of the network's input: ret_planes [3][height][width], value / 255. */
void deim_image_to_planes (const DeimImage *image, gfloat *ret_planes);

/*
 * Reads a picture in any format that gdk-pixbuf knows. Alpha is dropped and
 * nothing is turned upright: annotations are about pixels as they are stored.
 * DEIM_ERROR_NOT_FOUND, DEIM_ERROR_READ, DEIM_ERROR_FORMAT for files that are
 * no picture or damaged; DEIM_ERROR_UNSUPPORTED in a build without gdk-pixbuf.
 */
DeimImage *deim_image_read (const gchar *path, GError **error);

/* Whether deim_image_read() works in this build. */
gboolean deim_image_can_read (void);

/* Writes a PNG. DEIM_ERROR_WRITE. */
gboolean deim_image_write_png (const DeimImage *image, const gchar *path, GError **error);
