/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * coco.h - annotations and detections in the COCO format, read and written.
 *
 * Boxes are x, y, width, height in pixels of the picture as it is stored, the
 * corner nearest to the origin first. Pictures and categories are numbered
 * here 0, 1, ... in the order of their ids, which is also the order of the
 * classes of networks trained on the file.
 */
#pragma once

#include <glib.h>

typedef struct {
  gint64 id;
  gchar *file_name;    /* relative to the folder of the pictures */
  guint width, height; /* 0 where the file does not say */
} DeimCocoImage;

typedef struct {
  gint64 id;
  gchar *name; /* "" where the file does not say */
} DeimCocoCategory;

typedef struct {
  gint64 id;
  guint image, category; /* numbers, not ids */
  gdouble x, y, w, h;
  gdouble area;   /* of the object's outline where the file gives it, else w x h */
  gboolean crowd; /* the box holds many objects, uncounted */
} DeimCocoObject;

typedef struct {
  guint image, category; /* numbers, not ids */
  gdouble x, y, w, h;
  gdouble score;
} DeimCocoDetection;

/* Immutable once read or filled. Thread-safety: safe. */
typedef struct {
  GArray *images;     /* of DeimCocoImage, ascending id */
  GArray *categories; /* of DeimCocoCategory, ascending id */
  GArray *objects;    /* of DeimCocoObject, in the order of the file */
} DeimCoco;

/*
 * Reads an annotation file ("instances_val2017.json"). An entry that is not
 * what it should be is DEIM_ERROR_FORMAT, whose message names file, entry and
 * reason; DEIM_ERROR_NOT_FOUND and DEIM_ERROR_READ for the file itself.
 */
DeimCoco *deim_coco_read (const gchar *path, GError **error);
DeimCoco *deim_coco_new (void); /* empty, to be filled: images and categories in ascending order of id */
void deim_coco_free (DeimCoco *coco);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimCoco, deim_coco_free)

/* The number of the picture or category with @id; FALSE when there is none. */
gboolean deim_coco_find_image (const DeimCoco *coco, gint64 id, guint *ret_index);
gboolean deim_coco_find_category (const DeimCoco *coco, gint64 id, guint *ret_index);

/*
 * Reads a detections file: a list of {image_id, category_id, bbox, score}. A
 * picture that @coco does not know is an error; entries of unknown categories
 * are left out, as the original evaluation does, and counted in @ret_skipped
 * (nullable). Returns a GArray of DeimCocoDetection in the order of the file.
 */
GArray *deim_coco_read_detections (const DeimCoco *coco, const gchar *path, guint *ret_skipped, GError **error);

/* Writes such a file: coordinates to three decimals, scores to seven. */
gboolean deim_coco_write_detections (const DeimCoco *coco, const GArray *detections, const gchar *path, GError **error);

/* Writes annotations: coordinates and areas to three decimals. */
gboolean deim_coco_write (const DeimCoco *coco, const gchar *path, GError **error);

/* Rounds to what deim_coco_write_detections() writes, so that a file scores exactly as what it was written from. */
void deim_coco_round_detection (DeimCocoDetection *detection);
