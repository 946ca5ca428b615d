/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden-train.c - reading training cases and making their inputs; see golden-train.h. */
#include "golden-train.h"

#include "golden.h"

#include <stdarg.h>
#include <string.h>

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const gchar *const *) a, *(const gchar *const *) b);
}

gchar **
golden_train_list (const gchar *folder, const gchar *prefix)
{
  GPtrArray *names = g_ptr_array_new ();
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const gchar *file;
  while (dir && (file = g_dir_read_name (dir)))
    if (g_str_has_suffix (file, ".json") && g_str_has_prefix (file, prefix))
      g_ptr_array_add (names, g_strndup (file, strlen (file) - strlen (".json")));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (gchar **) g_ptr_array_free (names, FALSE);
}

gchar *
golden_train_small_folder (void)
{
  return g_build_filename (DEIM_SOURCE_ROOT, "tests", "data", "train", NULL);
}

gchar *
golden_train_folder (void)
{
  return golden_shared_file ("golden/train");
}

static void
read_targets (DeimTargets *targets, JsonObject *object)
{
  JsonArray *labels = json_object_get_array_member (object, "labels");
  JsonArray *boxes = json_object_get_array_member (object, "boxes");
  guint n = json_array_get_length (labels);
  guint *label = g_new (guint, n);
  gfloat *box = g_new (gfloat, n * 4);

  for (guint i = 0; i < n; i++) {
    label[i] = (guint) json_array_get_double_element (labels, i);
    for (guint k = 0; k < 4; k++)
      box[i * 4 + k] = (gfloat) json_array_get_double_element (json_array_get_array_element (boxes, i), k);
  }
  *targets = (DeimTargets){ n, label, box };
}

GoldenTrain *
golden_train_open (const gchar *folder, const gchar *name)
{
  GoldenTrain *train = g_new0 (GoldenTrain, 1);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *json = g_strdup_printf ("%s/%s.json", folder, name);
  g_autofree gchar *bin = g_strdup_printf ("%s/%s.bin", folder, name);

  train->name = g_strdup (name);
  train->json = json_parser_new ();
  json_parser_load_from_file (train->json, json, &error);
  g_assert_no_error (error);
  train->bin = g_mapped_file_new (bin, FALSE, NULL);
  train->root = json_node_get_object (json_parser_get_root (train->json));
  train->n_images = (guint) json_object_get_int_member (train->root, "images");
  train->n_queries = (guint) json_object_get_int_member (train->root, "queries");
  train->n_classes = (guint) json_object_get_int_member (train->root, "classes");
  g_assert_cmpuint (train->n_images, <=, GOLDEN_TRAIN_MAX_IMAGES);
  JsonArray *targets = json_object_get_array_member (train->root, "targets");
  for (guint i = 0; i < train->n_images; i++)
    read_targets (&train->targets[i], json_array_get_object_element (targets, i));
  return train;
}

void
golden_train_free (GoldenTrain *train)
{
  if (!train)
    return;
  for (guint i = 0; i < train->n_images; i++) {
    g_free ((gpointer) train->targets[i].labels);
    g_free ((gpointer) train->targets[i].boxes);
  }
  g_clear_pointer (&train->bin, g_mapped_file_unref);
  g_object_unref (train->json);
  g_free (train->name);
  g_free (train);
}

/* U (NAME, [n], lo, hi) */
static gfloat *uniform (gsize n, gdouble lo, gdouble hi, const gchar *format, ...) G_GNUC_PRINTF (4, 5);

static gfloat *
uniform (gsize n, gdouble lo, gdouble hi, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *name = g_strdup_vprintf (format, args);
  va_end (args);

  guint64 stream = golden_stream (name, 1);
  gfloat *values = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++) {
    gdouble u = (gdouble) (golden_mix (stream + i) >> 40) / 8388608.0 - 1.0;
    values[i] = (gfloat) (lo + (hi - lo) * ((u + 1) / 2));
  }
  return values;
}

/* Boxes anywhere, but every second of the first ones near an object. */
static gfloat *
make_boxes (const GoldenTrain *train, const gchar *stem, guint n_queries)
{
  static const gchar *const sides[] = { "px", "py", "pw", "ph" };
  gsize n = (gsize) train->n_images * n_queries;
  gfloat *boxes = g_new (gfloat, n * 4);

  for (guint k = 0; k < 4; k++) {
    g_autofree gfloat *side = uniform (n, k < 2 ? 0.05 : 0.02, k < 2 ? 0.95 : 0.7, "%s.%s", stem, sides[k]);
    for (gsize i = 0; i < n; i++)
      boxes[i * 4 + k] = side[i];
  }
  for (guint b = 0; b < train->n_images; b++) {
    const DeimTargets *targets = &train->targets[b];
    guint n_near = MIN (targets->n, n_queries / 2);
    g_autofree gfloat *jitter = uniform ((gsize) n_near * 4, -0.15, 0.15, "%s.jit%u", stem, b);
    for (guint k = 0; k < n_near * 4; k++)
      boxes[((gsize) b * n_queries + 1 + 2 * (k / 4)) * 4 + k % 4] = targets->boxes[k] * (1.0f + jitter[k]);
  }
  return boxes;
}

void
golden_predictions_init (GoldenPredictions *predictions, const GoldenTrain *train, const gchar *part, guint n_queries)
{
  guint queries = n_queries ? n_queries : train->n_queries;
  gsize n = (gsize) train->n_images * queries;
  g_autofree gchar *stem = g_strconcat (train->name, part, NULL);
  GoldenPredictions p = {
    .logits = uniform (n * train->n_classes, -4, 3, "%s.logits", stem),
    .boxes = make_boxes (train, stem, queries),
    .corners = uniform (n * 4 * DEIM_DISTANCE_BINS, -2, 2, "%s.corners", stem),
    .references = uniform (n * 4, -0.2, 0.2, "%s.ref", stem),
    .teacher_corners = uniform (n * 4 * DEIM_DISTANCE_BINS, -3, 3, "%s.tcorners", stem),
    .teacher_logits = uniform (n * train->n_classes, -4, 3, "%s.tlogits", stem),
  };
  for (gsize i = 0; i < n * 4; i++)
    p.references[i] = p.boxes[i] * (1.0f + p.references[i]);
  p.own = (DeimPredictions){
    train->n_images, queries, train->n_classes, p.logits, p.boxes, p.corners, p.references,
  };
  *predictions = p;
}

void
golden_predictions_finish (GoldenPredictions *predictions)
{
  g_free (predictions->logits);
  g_free (predictions->boxes);
  g_free (predictions->corners);
  g_free (predictions->references);
  g_free (predictions->teacher_corners);
  g_free (predictions->teacher_logits);
}

DeimMatching *
golden_matching (JsonArray *images)
{
  guint n = json_array_get_length (images);
  g_autofree guint *counts = g_new (guint, n);

  for (guint i = 0; i < n; i++)
    counts[i] = json_array_get_length (json_array_get_array_element (json_array_get_array_element (images, i), 0));
  DeimMatching *matching = deim_matching_new (n, counts);
  for (guint i = 0; i < n; i++) {
    JsonArray *pair = json_array_get_array_element (images, i);
    for (guint k = 0; k < counts[i]; k++)
      matching->pairs[matching->first[i] + k] = (DeimMatch){
        (guint) json_array_get_int_element (json_array_get_array_element (pair, 0), k),
        (guint) json_array_get_int_element (json_array_get_array_element (pair, 1), k),
      };
  }
  return matching;
}
