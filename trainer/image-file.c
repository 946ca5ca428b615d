/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-file.c - pictures from files through gdk-pixbuf, and into PNG files through Cairo. */
#include "image.h"

#include <cairo.h>
#include <deim.h>
#include <string.h>

#ifdef DEIM_HAVE_PIXBUF
#include <gdk-pixbuf/gdk-pixbuf.h>

gboolean
deim_image_can_read (void)
{
  return TRUE;
}

static DeimImage *
take_pixels (const GdkPixbuf *pixbuf)
{
  guint width = (guint) gdk_pixbuf_get_width (pixbuf), height = (guint) gdk_pixbuf_get_height (pixbuf);
  guint channels = (guint) gdk_pixbuf_get_n_channels (pixbuf);
  const guint8 *pixels = gdk_pixbuf_read_pixels (pixbuf);
  DeimImage *image = deim_image_new (width, height);

  for (guint y = 0; y < height; y++) {
    const guint8 *row = pixels + (gsize) y * (gsize) gdk_pixbuf_get_rowstride (pixbuf);
    guint8 *out = deim_image_at (image, 0, y);
    for (guint x = 0; x < width; x++)
      memcpy (out + (gsize) x * 3, row + (gsize) x * channels, 3);
  }
  return image;
}

DeimImage *
deim_image_read (const gchar *path, GError **error)
{
  g_autoptr (GError) cause = NULL;
  g_autofree gchar *name = g_filename_display_name (path);

  if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s is a folder, not a picture", name);
    return NULL;
  }
  g_autoptr (GdkPixbuf) pixbuf = gdk_pixbuf_new_from_file (path, &cause);
  if (pixbuf)
    return take_pixels (pixbuf);
  if (g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND, "%s does not exist", name);
  else if (cause->domain == G_FILE_ERROR)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s cannot be read: %s", name, cause->message);
  else
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s is no picture that can be decoded: %s", name,
                 cause->message);
  return NULL;
}
#else
gboolean
deim_image_can_read (void)
{
  return FALSE;
}

DeimImage *
deim_image_read (const gchar *path, GError **error)
{
  g_set_error (
      error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
      "%s: this build cannot read pictures; install gdk-pixbuf (Debian: libgdk-pixbuf-2.0-dev) and build again", path);
  return NULL;
}
#endif

gboolean
deim_image_write_png (const DeimImage *image, const gchar *path, GError **error)
{
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, (int) image->width, (int) image->height);
  cairo_status_t status = cairo_surface_status (surface);

  if (status == CAIRO_STATUS_SUCCESS) {
    guint8 *data = cairo_image_surface_get_data (surface);
    gsize stride = (gsize) cairo_image_surface_get_stride (surface);
    for (guint y = 0; y < image->height; y++)
      for (guint x = 0; x < image->width; x++) {
        const guint8 *rgb = deim_image_at (image, x, y);
        guint32 pixel = (guint32) rgb[0] << 16 | (guint32) rgb[1] << 8 | rgb[2];
        memcpy (data + y * stride + x * sizeof pixel, &pixel, sizeof pixel);
      }
    cairo_surface_mark_dirty (surface);
    status = cairo_surface_write_to_png (surface, path);
  }
  cairo_surface_destroy (surface);
  if (status == CAIRO_STATUS_SUCCESS)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s cannot be written: %s; check the folder and its space", path,
               cairo_status_to_string (status));
  return FALSE;
}
