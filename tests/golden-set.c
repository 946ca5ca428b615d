/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden-set.c - the files of golden sets, and their "arch" against ours; see golden.h. */
#include "golden.h"

#include <math.h>
#include <string.h>

#ifndef DEIM_SOURCE_ROOT
#define DEIM_SOURCE_ROOT "."
#endif

gchar *
golden_shared_file (const gchar *path)
{
  const gchar *shared = g_getenv ("DEIM_SHARED");
  g_autofree gchar *file =
      shared ? g_build_filename (shared, path, NULL) : g_build_filename (DEIM_SOURCE_ROOT, "..", "shared", path, NULL);
  return g_file_test (file, G_FILE_TEST_EXISTS) ? g_steal_pointer (&file) : NULL;
}

gchar *
golden_folder (void)
{
  return golden_shared_file ("golden");
}

gchar *
golden_small_folder (void)
{
  return g_build_filename (DEIM_SOURCE_ROOT, "tests", "data", "golden", NULL);
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const gchar *const *) a, *(const gchar *const *) b);
}

gchar **
golden_list (const gchar *folder, const gchar *prefix)
{
  g_autofree gchar *open = g_build_filename (folder, "open", NULL);
  GPtrArray *names = g_ptr_array_new ();
  g_autoptr (GDir) dir = g_dir_open (open, 0, NULL);
  const gchar *file;
  while (dir && (file = g_dir_read_name (dir)))
    if (g_str_has_suffix (file, ".json") && g_str_has_prefix (file, prefix))
      g_ptr_array_add (names, g_strndup (file, strlen (file) - strlen (".json")));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (gchar **) g_ptr_array_free (names, FALSE);
}

static JsonObject *
part (const GoldenSet *set, const gchar *name)
{
  return json_object_get_object_member (set->arch, name);
}

static gint
number (JsonObject *object, const gchar *name, gint otherwise)
{
  if (!json_object_has_member (object, name) || json_object_get_null_member (object, name))
    return otherwise;
  return (gint) json_object_get_int_member (object, name);
}

static const gchar *
word (JsonObject *object, const gchar *name, const gchar *otherwise)
{
  if (!json_object_has_member (object, name) || json_object_get_null_member (object, name))
    return otherwise;
  return json_object_get_string_member (object, name);
}

static gboolean
flag (JsonObject *object, const gchar *name)
{
  return json_object_has_member (object, name) && !json_object_get_null_member (object, name) &&
         json_object_get_boolean_member (object, name);
}

GoldenSet *
golden_set_open (const gchar *folder, const gchar *name, GError **error)
{
  g_autoptr (GoldenSet) set = g_new0 (GoldenSet, 1);
  g_autofree gchar *json = g_strdup_printf ("%s/open/%s.json", folder, name);
  g_autofree gchar *bin = g_strdup_printf ("%s/open/%s.bin", folder, name);
  set->folder = g_strdup (folder);
  set->name = g_strdup (name);
  set->json = json_parser_new ();
  if (!json_parser_load_from_file (set->json, json, error))
    return NULL;
  set->root = json_node_get_object (json_parser_get_root (set->json));
  set->arch = json_object_get_object_member (set->root, "arch");
  set->bin = g_mapped_file_new (bin, FALSE, error);
  g_autofree gchar *params_file = g_path_get_basename (word (set->root, "params", ""));
  g_autofree gchar *params_model = g_strndup (params_file, strcspn (params_file, "."));
  set->params = set->bin ? golden_params_read (folder, params_model, error) : NULL;
  if (!set->params)
    return NULL;

  JsonObject *decoder = part (set, "decoder");
  GoldenParams *params = set->params;
  params->seed = (guint64) number (set->root, "seed", 1);
  params->height = number (set->root, "H", 0);
  params->width = number (set->root, "W", 0);
  params->levels = number (decoder, "num_levels", 0);
  params->reg_scale = (gfloat) number (decoder, "reg_scale", 4);
  JsonArray *points = json_object_get_array_member (decoder, "num_points");
  gint first_stride = (gint) json_array_get_int_element (json_object_get_array_member (decoder, "feat_strides"), 0);
  for (gint l = 0; l < params->levels; l++) {
    params->points[l] = (gint) json_array_get_int_element (points, (guint) l);
    params->strides[l] = first_stride << l;
  }
  return g_steal_pointer (&set);
}

void
golden_set_free (GoldenSet *set)
{
  if (!set)
    return;
  g_free (set->folder);
  g_free (set->name);
  g_clear_object (&set->json);
  g_clear_pointer (&set->bin, g_mapped_file_unref);
  golden_params_free (set->params);
  g_free (set);
}

guint
golden_set_n_cases (const GoldenSet *set)
{
  return json_array_get_length (json_object_get_array_member (set->root, "cases"));
}

JsonObject *
golden_set_case (const GoldenSet *set, guint index)
{
  return json_array_get_object_element (json_object_get_array_member (set->root, "cases"), index);
}

gconstpointer
golden_set_array (const GoldenSet *set, JsonObject *object, const gchar *name, gsize *ret_n)
{
  JsonObject *place = json_object_get_object_member (object, name);
  JsonArray *shape = json_object_get_array_member (place, "shape");
  gsize n = 1, offset = (gsize) json_object_get_int_member (place, "offset");
  for (guint i = 0; i < json_array_get_length (shape); i++)
    n *= (gsize) json_array_get_int_element (shape, i);
  g_assert_cmpuint (offset + 4 * n, <=, g_mapped_file_get_length (set->bin));
  if (ret_n)
    *ret_n = n;
  return g_mapped_file_get_contents (set->bin) + offset;
}

gchar *
golden_set_spec (const GoldenSet *set, const gchar *preset)
{
  JsonObject *decoder = part (set, "decoder");
  if (!g_str_has_prefix (word (set->root, "model", ""), "var"))
    return NULL;
  return g_strdup_printf ("%s:act=%s,sampling=%s,select=%s,eval-idx=%d,queries=%d,input=%dx%d", preset,
                          word (decoder, "activation", "relu"),
                          g_str_equal (word (decoder, "cross_attn_method", "default"), "discrete") ? "discrete"
                                                                                                   : "bilinear",
                          word (decoder, "query_select_method", "default"), number (decoder, "eval_idx_resolved", 0),
                          number (decoder, "num_queries", 300), number (set->root, "H", 0), number (set->root, "W", 0));
}

/* ------------------------------------------------------------------ "arch" */

typedef struct {
  gchar **ret_what;
  gboolean same;
} Check;

static void
expect (Check *check, const gchar *what, gint golden, gint ours)
{
  if (golden == ours || !check->same)
    return;
  check->same = FALSE;
  *check->ret_what = g_strdup_printf ("%s: %d in the golden set, %d here", what, golden, ours);
}

static void
check_hgnetv2 (Check *check, JsonObject *golden, const DeimBackboneArch *ours)
{
  JsonArray *stem = json_object_get_array_member (golden, "stem_channels");
  JsonArray *stages = json_object_get_array_member (golden, "stage_config");
  expect (check, "backbone kind", DEIM_BACKBONE_HGNETV2, (gint) ours->kind);
  expect (check, "stem mid", (gint) json_array_get_int_element (stem, 1), ours->stem_mid);
  expect (check, "stem out", (gint) json_array_get_int_element (stem, 2), ours->stem_out);
  expect (check, "lab", flag (golden, "use_lab"), ours->lab);
  expect (check, "stages", (gint) json_array_get_length (stages), ours->n_stages);
  for (guint s = 0; s < json_array_get_length (stages) && check->same; s++) {
    JsonArray *row = json_array_get_array_element (stages, s); /* in mid out blocks downsample light kernel layers */
    const DeimStage *stage = &ours->stages[s];
    const gint values[] = { stage->in, stage->mid, stage->out, stage->blocks, -1, -1, stage->kernel, stage->layers };
    for (guint i = 0; i < G_N_ELEMENTS (values); i++)
      if (values[i] >= 0)
        expect (check, "stage value", (gint) json_array_get_int_element (row, i), values[i]);
    expect (check, "light stage", json_array_get_boolean_element (row, 5), stage->light);
  }
}

static void
check_backbone (Check *check, JsonObject *golden, const DeimBackboneArch *ours)
{
  const gchar *type = word (golden, "type", "");
  JsonArray *returned = json_object_get_array_member (golden, "return_idx");
  expect (check, "returned stages", (gint) json_array_get_length (returned), ours->n_stages - ours->first_stage);
  expect (check, "first returned stage", (gint) json_array_get_int_element (returned, 0), ours->first_stage);
  if (json_object_has_member (golden, "freeze_norm"))
    expect (check, "frozen norms", flag (golden, "freeze_norm"), ours->frozen);
  if (g_str_equal (type, "HGNetv2")) {
    check_hgnetv2 (check, golden, ours);
  } else if (g_str_equal (type, "PResNet")) {
    static const gint depths[][5] = {
      { 18, 2, 2, 2, 2 }, { 34, 3, 4, 6, 3 }, { 50, 3, 4, 6, 3 }, { 101, 3, 4, 23, 3 }
    };
    gint depth = number (golden, "depth", 0);
    expect (check, "backbone kind", DEIM_BACKBONE_PRESNET, (gint) ours->kind);
    expect (check, "bottleneck", depth >= 50, ours->bottleneck);
    for (guint i = 0; i < G_N_ELEMENTS (depths); i++)
      for (gint s = 0; s < 4 && depths[i][0] == depth; s++)
        expect (check, "blocks", depths[i][1 + s], ours->stages[s].blocks);
  } else {
    expect (check, "backbone kind", DEIM_BACKBONE_DLA, (gint) ours->kind);
  }
}

static void
check_encoder (Check *check, JsonObject *golden, const DeimEncoderArch *ours)
{
  gboolean lite = g_str_equal (word (golden, "type", ""), "LiteEncoder");
  const gchar *version = word (golden, "version", "");
  gboolean dfine = lite || g_str_equal (version, "dfine"), elan5 = g_str_equal (version, "deim");
  gboolean csp2 = g_str_equal (word (golden, "csp_type", ""), "csp2");
  gint hidden = number (golden, "hidden_dim", 0);
  gdouble expansion = json_object_get_double_member (golden, "expansion");
  gdouble depth = 3 * json_object_get_double_member (golden, "depth_mult");
  expect (check, "encoder kind", lite ? DEIM_ENCODER_LITE : DEIM_ENCODER_HYBRID, (gint) ours->kind);
  expect (check, "encoder width", hidden, ours->hidden);
  expect (check, "encoder layers", number (golden, "num_encoder_layers", 0), ours->layers);
  if (ours->layers)
    expect (check, "encoder feed-forward", number (golden, "dim_feedforward", 0), ours->ff);
  expect (check, "fusion",
          dfine   ? DEIM_FUSION_ELAN4
          : elan5 ? DEIM_FUSION_ELAN5
                  : DEIM_FUSION_CSP,
          (gint) ours->fusion);
  expect (check, "csp2", csp2, ours->csp2);
  expect (check, "sum", csp2 && !g_str_equal (word (golden, "fuse_op", "sum"), "cat"), ours->sum);
  /* floor (expansion * C / 2) for ELAN, expansion * C for CSP */
  expect (check, "fusion width", (gint) (expansion * hidden) / (dfine || elan5 ? 2 : 1), ours->width);
  expect (check, "fusion depth", (gint) lrint (depth), ours->depth); /* half to even, as Python rounds */
}

static void
check_decoder (Check *check, JsonObject *golden, const DeimDecoderArch *ours)
{
  const gchar *type = word (golden, "type", "");
  DeimDecoderKind kind = g_str_has_prefix (type, "DFINE")  ? DEIM_DECODER_DFINE
                         : g_str_has_prefix (type, "DEIM") ? DEIM_DECODER_DEIM
                                                           : DEIM_DECODER_RTDETR;
  gint halve = kind == DEIM_DECODER_DEIM ? 2 : 1;
  expect (check, "decoder kind", (gint) kind, (gint) ours->kind);
  expect (check, "v1 names", g_str_equal (type, "RTDETRTransformer"), ours->v1_names);
  expect (check, "classes", number (golden, "num_classes", 0), ours->classes);
  expect (check, "decoder width", number (golden, "hidden_dim", 0), ours->hidden);
  expect (check, "queries", number (golden, "num_queries", 0), ours->queries);
  expect (check, "levels", number (golden, "num_levels", 0), ours->levels);
  JsonArray *points = json_object_get_array_member (golden, "num_points");
  for (guint l = 0; l < json_array_get_length (points); l++)
    expect (check, "points", (gint) json_array_get_int_element (points, l), ours->points[l]);
  expect (check, "heads", number (golden, "nhead", 0), DEIM_HEADS);
  expect (check, "decoder layers", number (golden, "num_layers", 0), ours->layers);
  expect (check, "eval_idx", number (golden, "eval_idx_resolved", 0), ours->eval_idx);
  expect (check, "decoder feed-forward", number (golden, "dim_feedforward", 0) / halve, ours->ff);
  expect (check, "decoder activation", g_str_equal (word (golden, "activation", ""), "silu"),
          ours->act == DEIM_ACT_SILU);
  expect (check, "discrete sampling", g_str_equal (word (golden, "cross_attn_method", ""), "discrete"),
          ours->sampling == DEIM_SAMPLE_DISCRETE);
  const gchar *select = word (golden, "query_select_method", "default");
  expect (check, "selection",
          g_str_equal (select, "agnostic")   ? DEIM_SELECT_AGNOSTIC
          : g_str_equal (select, "one2many") ? DEIM_SELECT_ONE2MANY
                                             : DEIM_SELECT_DEFAULT,
          (gint) ours->select);
  expect (check, "learned content", flag (golden, "learn_query_content"), ours->learned_content);
  expect (check, "reg_scale", number (golden, "reg_scale", 0), (gint) ours->reg_scale);
  expect (check, "layer_scale", number (golden, "layer_scale", 1), ours->layer_scale);
  if (kind != DEIM_DECODER_RTDETR)
    expect (check, "gateway", kind == DEIM_DECODER_DFINE || flag (golden, "use_gateway"), ours->gate);
  expect (check, "shared box head", flag (golden, "share_bbox_head"), ours->share_bbox);
  expect (check, "shared score head", flag (golden, "share_score_head"), ours->share_score);
}

gboolean
golden_check_arch (JsonObject *golden, const DeimArch *arch, gchar **ret_what)
{
  Check check = { ret_what, TRUE };
  check_backbone (&check, json_object_get_object_member (golden, "backbone"), &arch->backbone);
  check_encoder (&check, json_object_get_object_member (golden, "encoder"), &arch->encoder);
  check_decoder (&check, json_object_get_object_member (golden, "decoder"), &arch->decoder);
  return check.same;
}
