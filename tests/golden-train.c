/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden-train.c - reading training cases and making their inputs; see golden-train.h. */
#include "golden-train.h"

#include "engine/models/parts.h"
#include "golden.h"

#include <stdarg.h>
#include <string.h>

static gchar *
small_folder (void)
{
  return g_build_filename (DEIM_SOURCE_ROOT, "tests", "data", "train", NULL);
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
  g_autofree gchar *place = folder ? g_strdup (folder) : small_folder ();
  g_autofree gchar *json = g_strdup_printf ("%s/%s.json", place, name);
  g_autofree gchar *bin = g_strdup_printf ("%s/%s.bin", place, name);

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
    .corners = uniform (n * 4 * DEIM_FDR_BINS, -2, 2, "%s.corners", stem),
    .references = uniform (n * 4, -0.2, 0.2, "%s.ref", stem),
    .teacher_corners = uniform (n * 4 * DEIM_FDR_BINS, -3, 3, "%s.tcorners", stem),
    .teacher_logits = uniform (n * train->n_classes, -4, 3, "%s.tlogits", stem),
  };
  for (gsize i = 0; i < n * 4; i++)
    p.references[i] = p.boxes[i] * (1.0f + p.references[i]);
  p.own = (DeimPredictions){
    train->n_images, queries, train->n_classes, queries, p.logits, p.boxes, p.corners, p.references,
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

/* ------------------------------------------------------------ whole criteria */

static void
add_part (GoldenWhole *whole, const GoldenTrain *train, DeimPartRole role, const gchar *name, guint n_queries,
          gboolean corners)
{
  GoldenPredictions *p = &whole->predictions[whole->n];
  golden_predictions_init (p, train, name, n_queries);
  whole->parts[whole->n++] = (DeimPart){ .role = role, .own = p->own };
  if (!corners)
    whole->parts[whole->n - 1].own.corners = NULL;
}

void
golden_whole_init (GoldenWhole *whole, const GoldenTrain *train)
{
  gboolean dfine = json_object_get_boolean_member (train->root, "dfine");
  guint most = 0;
  for (guint b = 0; b < train->n_images; b++)
    most = MAX (most, train->targets[b].n);
  guint dn = 2 * most * (guint) json_object_get_int_member (train->root, "dn_groups");

  memset (whole, 0, sizeof *whole);
  add_part (whole, train, DEIM_PART_MAIN, ".main", 0, dfine);
  add_part (whole, train, DEIM_PART_AUX, ".aux0", 0, dfine);
  add_part (whole, train, DEIM_PART_AUX, ".aux1", 0, dfine);
  if (dfine)
    add_part (whole, train, DEIM_PART_PRE, ".pre", 0, FALSE);
  add_part (whole, train, DEIM_PART_ENCODER, ".enc", 0, FALSE);
  for (guint i = 0; i < 3; i++) {
    g_autofree gchar *name = g_strdup_printf (".dn%u", i);
    add_part (whole, train, DEIM_PART_DENOISING, name, dn, dfine);
  }
  if (dfine)
    add_part (whole, train, DEIM_PART_DENOISING_PRE, ".dnpre", dn, FALSE);
  /* Layers count their distances from the same boxes. */
  const gfloat *first_dn = NULL;
  for (guint i = 0; i < whole->n; i++) {
    DeimPart *part = &whole->parts[i];
    if (part->role == DEIM_PART_DENOISING && !first_dn)
      first_dn = part->own.references;
    part->own.references = part->role == DEIM_PART_DENOISING ? first_dn : whole->parts[0].own.references;
  }
}

void
golden_whole_finish (GoldenWhole *whole)
{
  deim_parts_clear (whole->parts, whole->n);
  for (guint i = 0; i < whole->n; i++)
    golden_predictions_finish (&whole->predictions[i]);
}

DeimMatching *
golden_denoising (const GoldenTrain *train)
{
  JsonArray *positive = json_object_get_array_member (train->root, "dn_positive_idx");
  guint counts[GOLDEN_TRAIN_MAX_IMAGES];

  for (guint b = 0; b < train->n_images; b++)
    counts[b] = json_array_get_length (json_array_get_array_element (positive, b));
  DeimMatching *matching = deim_matching_new (train->n_images, counts);
  for (guint b = 0; b < train->n_images; b++)
    for (guint k = 0; k < counts[b]; k++)
      matching->pairs[matching->first[b] + k] = (DeimMatch){
        (guint) json_array_get_int_element (json_array_get_array_element (positive, b), k),
        k % train->targets[b].n,
      };
  return matching;
}

DeimFdrAttrs
golden_fdr (void)
{
  DeimDecoderArch arch = { .reg_scale = 4, .up = 0.5f };
  DeimFdrAttrs attrs;
  deim_decoder_fdr_attrs (&arch, &attrs);
  return attrs;
}

/* ------------------------------------------------------------------- tests */

typedef struct {
  gchar *folder, *name;
  GoldenTrainTest test;
} Registered;

static void
registered_free (gpointer data)
{
  Registered *registered = data;
  g_free (registered->folder);
  g_free (registered->name);
  g_free (registered);
}

static void
run_registered (gconstpointer data)
{
  const Registered *registered = data;
  g_autoptr (GoldenTrain) train = golden_train_open (registered->folder, registered->name);
  registered->test (train);
}

static void
skip_full (void)
{
  g_test_skip ("no shared folder: set DEIM_SHARED");
}

static void
add_folder (const gchar *prefix, const gchar *label, const gchar *folder, GoldenTrainTest single, GoldenTrainTest whole)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const gchar *file;

  while (dir && (file = g_dir_read_name (dir))) {
    GoldenTrainTest test = g_str_has_prefix (file, "w_") ? whole : single;
    if (!g_str_has_suffix (file, ".json") || !test)
      continue;
    Registered *registered = g_new (Registered, 1);
    registered->folder = g_strdup (folder);
    registered->name = g_strndup (file, strlen (file) - strlen (".json"));
    registered->test = test;
    g_autofree gchar *path = g_strdup_printf ("%s/golden-%s/%s", prefix, label, registered->name);
    g_test_add_data_func_full (path, registered, run_registered, registered_free);
  }
}

void
golden_train_add_tests (const gchar *prefix, GoldenTrainTest single, GoldenTrainTest whole)
{
  g_autofree gchar *small = small_folder (), *full = golden_shared_file ("golden/train");

  add_folder (prefix, "small", small, single, whole);
  if (full) {
    add_folder (prefix, "full", full, single, whole);
  } else {
    g_autofree gchar *path = g_strconcat (prefix, "/golden-full", NULL);
    g_test_add_func (path, skip_full);
  }
}
