/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden.c - weights and pictures by rule; see golden.h. */
#include "golden.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------ params */

static void
param_free (gpointer data)
{
  GoldenParam *param = data;
  g_free (param->name);
  g_free (param->alias_of);
  g_free (param);
}

static JsonParser *
load_json (const gchar *path, GError **error)
{
  g_autoptr (JsonParser) json = json_parser_new ();
  if (!json_parser_load_from_file (json, path, error))
    return NULL;
  return g_steal_pointer (&json);
}

/* [name, shape, dtype, rule id, s, o], or of an alias [.., "alias", first name]; reduced files end after the rule. */
static GoldenParam *
param_from_json (JsonArray *row)
{
  GoldenParam *param = g_new0 (GoldenParam, 1);
  guint n = json_array_get_length (row);
  const gchar *rule = json_array_get_string_element (row, 3);
  JsonArray *shape = json_array_get_array_element (row, 1);
  param->name = g_strdup (json_array_get_string_element (row, 0));
  param->n_dims = json_array_get_length (shape);
  g_assert_cmpuint (param->n_dims, <=, 4);
  for (guint i = 0; i < param->n_dims; i++)
    param->dims[i] = json_array_get_int_element (shape, i);
  param->integer = g_str_equal (json_array_get_string_element (row, 2), "i64");
  param->rule = g_str_equal (rule, "alias")      ? GOLDEN_ALIAS
                : g_str_equal (rule, "zero_i64") ? GOLDEN_ZERO
                : g_str_equal (rule, "const")    ? GOLDEN_CONST
                                                 : GOLDEN_UNIFORM;
  if (param->rule == GOLDEN_ALIAS)
    param->alias_of = g_strdup (json_array_get_string_element (row, 4));
  if (param->rule == GOLDEN_UNIFORM && n >= 6) {
    param->s = (gfloat) json_array_get_double_element (row, 4);
    param->o = (gfloat) json_array_get_double_element (row, 5);
  }
  return param;
}

/* s and o by the table; where the file gives them, too, they must be the same. */
static gboolean
apply_rules (GoldenParams *params, GError **error)
{
  gboolean deimv2 = g_hash_table_contains (params->by_name, "decoder.decoder.layers.0.swish_ffn.w12.weight");
  for (guint i = 0; i < params->list->len; i++) {
    GoldenParam *param = g_ptr_array_index (params->list, i);
    gfloat s = 0, o = 0;
    if (param->rule != GOLDEN_UNIFORM)
      continue;
    if (!golden_rule (param, deimv2, &s, &o) || (param->s != 0 && (param->s != s || param->o != o))) {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                   "%s of %s: scale %.9g, offset %.9g by the file, %.9g, %.9g "
                   "by the table of rules",
                   param->name, params->model, (gdouble) param->s, (gdouble) param->o, (gdouble) s, (gdouble) o);
      return FALSE;
    }
    param->s = s;
    param->o = o;
  }
  return TRUE;
}

GoldenParams *
golden_params_read (const gchar *folder, const gchar *model, GError **error)
{
  g_autofree gchar *path = g_strdup_printf ("%s/arch/%s.params.json", folder, model);
  g_autoptr (JsonParser) json = load_json (path, error);
  if (!json)
    return NULL;
  g_autoptr (GoldenParams) params = g_new0 (GoldenParams, 1);
  params->model = g_strdup (model);
  params->seed = 1;
  params->reg_scale = 4.0f;
  params->list = g_ptr_array_new_with_free_func (param_free);
  params->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  JsonArray *rows = json_object_get_array_member (json_node_get_object (json_parser_get_root (json)), "params");
  for (guint i = 0; i < json_array_get_length (rows); i++) {
    GoldenParam *param = param_from_json (json_array_get_array_element (rows, i));
    g_ptr_array_add (params->list, param);
    g_hash_table_insert (params->by_name, param->name, param);
  }
  return apply_rules (params, error) ? g_steal_pointer (&params) : NULL;
}

void
golden_params_free (GoldenParams *params)
{
  if (!params)
    return;
  g_free (params->model);
  g_ptr_array_unref (params->list);
  g_hash_table_unref (params->by_name);
  g_free (params);
}

/* -------------------------------------------------------------- state dict */

static gint
count_tokens (const GoldenParams *params)
{
  gint total = 0;
  for (gint l = 0; l < params->levels; l++)
    total += (params->height / params->strides[l]) * (params->width / params->strides[l]);
  return total;
}

/* decoder.anchors or decoder.valid_mask of the set's size. */
static gfloat *
make_anchors (const GoldenParams *params, gboolean mask, gint total)
{
  gfloat *out = g_new (gfloat, (gsize) total * 4);
  gint t = 0;
  for (gint l = 0; l < params->levels; l++) {
    gint h = params->height / params->strides[l], w = params->width / params->strides[l];
    for (gint i = 0; i < h * w; i++, t++) {
      gfloat side = 0.05f * (gfloat) (1 << l);
      gfloat a[4] = { ((gfloat) (i % w) + 0.5f) / (gfloat) w, ((gfloat) (i / w) + 0.5f) / (gfloat) h, side, side };
      gboolean valid = TRUE;
      for (gint k = 0; k < 4; k++)
        valid = valid && a[k] > 0.01f && a[k] < 0.99f;
      if (mask)
        out[t] = valid ? 1.0f : 0.0f;
      for (gint k = 0; k < 4 && !mask; k++)
        out[4 * t + k] = valid ? logf (a[k] / (1.0f - a[k])) : INFINITY;
    }
  }
  return out;
}

static gfloat *
make_constant (const GoldenParams *params, const GoldenParam *param, gsize n)
{
  gfloat *out = g_new0 (gfloat, n);
  if (g_str_has_suffix (param->name, ".up"))
    out[0] = 0.5f;
  else if (g_str_has_suffix (param->name, ".reg_scale"))
    out[0] = params->reg_scale;
  else if (g_str_has_suffix (param->name, ".num_points_scale"))
    for (gint l = 0, p = 0; l < params->levels; l++)
      for (gint k = 0; k < params->points[l] && p < (gint) n; k++)
        out[p++] = 1.0f / (gfloat) params->points[l];
  return out;
}

static gboolean
is_anchor (const GoldenParam *param)
{
  return g_str_equal (param->name, "decoder.anchors") || g_str_equal (param->name, "decoder.valid_mask");
}

static gboolean
param_shape (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  const GoldenParams *params = data;
  const GoldenParam *param = g_hash_table_lookup (params->by_name, name);
  if (!param)
    return FALSE;
  gint sides[4] = { 1, 1, 1, 1 };
  for (guint i = 0; i < param->n_dims; i++)
    sides[i] = (gint) param->dims[i];
  if (is_anchor (param) && params->height)
    sides[1] = count_tokens (params);
  *ret_shape = (DeimShape){ sides[0], sides[1], sides[2], sides[3] };
  return TRUE;
}

static gfloat *
param_values (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  const GoldenParams *params = data;
  const GoldenParam *param = g_hash_table_lookup (params->by_name, name);
  DeimShape shape;
  if (!param || !param_shape (data, name, &shape))
    return NULL;
  *ret_shape = shape;
  gsize n = (gsize) shape.n * (gsize) shape.c * (gsize) shape.h * (gsize) shape.w;
  if (is_anchor (param))
    return params->height ? make_anchors (params, shape.h == 1, shape.c) : NULL;
  if (param->rule == GOLDEN_CONST)
    return make_constant (params, param, n);
  gfloat *out = g_new0 (gfloat, MAX (n, 1));
  if (param->rule == GOLDEN_ZERO)
    return out;
  if (param->rule == GOLDEN_ALIAS)
    param = g_hash_table_lookup (params->by_name, param->alias_of);
  guint64 start = golden_stream (param->name, params->seed);
  for (gsize i = 0; i < n; i++) {
    gdouble u = (gdouble) (golden_mix (start + i) >> 40) / 8388608.0 - 1.0;
    out[i] = (gfloat) ((gdouble) param->o + u * (gdouble) param->s);
  }
  return out;
}

static const gchar *
param_name (gpointer data, guint index)
{
  const GoldenParams *params = data;
  return ((const GoldenParam *) g_ptr_array_index (params->list, index))->name;
}

DeimStateDict
golden_params_dict (GoldenParams *params)
{
  return (DeimStateDict){
    .n_tensors = params->list->len,
    .name = param_name,
    .shape = param_shape,
    .values = { param_values, params },
    .data = params,
  };
}

/* ---------------------------------------------------------------- pictures */

static gint
triangle (gint64 a)
{
  return ABS ((gint) (a % 512) - 256);
}

/* Twelve translucent rectangles and ellipses over three triangle waves. */
static void
draw_shapes (gint *q, guint64 seed, gint height, gint width)
{
  for (guint64 k = 0; k < 12; k++) {
    guint64 r[8];
    for (guint64 j = 0; j < 8; j++)
      r[j] = golden_bits ("picture", seed, 8 * k + j) >> 40;
    gint64 cx = (gint64) (r[0] % (guint64) width), cy = (gint64) (r[1] % (guint64) height);
    gint64 a = 8 + (gint64) (r[2] % (guint64) (width / 4)), b = 8 + (gint64) (r[3] % (guint64) (height / 4));
    for (gint64 y = 0; y < height; y++)
      for (gint64 x = 0; x < width; x++) {
        gint64 dx = x - cx, dy = y - cy;
        gboolean inside =
            r[7] & 1 ? ABS (dx) <= a && ABS (dy) <= b : dx * b * dx * b + dy * a * dy * a <= a * b * a * b;
        for (gint c = 0; c < 3 && inside; c++) {
          gint *place = &q[((gint64) c * height + y) * width + x];
          *place = (*place + 3 * (gint) (r[4 + c] % 256)) / 4;
        }
      }
  }
}

gfloat *
golden_image (const gchar *kind, guint64 seed, gint height, gint width)
{
  gsize plane = (gsize) height * (gsize) width;
  gfloat *out = g_new (gfloat, 3 * plane);
  if (g_str_equal (kind, "noise")) {
    for (gsize i = 0; i < 3 * plane; i++)
      out[i] = (gfloat) ((gdouble) (golden_bits ("input", seed, i) >> 40) / 16777216.0);
    return out;
  }
  g_autofree gint *q = g_new (gint, 3 * plane);
  for (gint64 y = 0; y < height; y++)
    for (gint64 x = 0; x < width; x++) {
      gsize i = (gsize) (y * width + x);
      q[i] = triangle (3 * x + y);
      q[plane + i] = (triangle (2 * y + 64) + triangle (x)) / 2;
      q[2 * plane + i] = triangle ((x * y) / 64 + 2 * x);
    }
  draw_shapes (q, seed, height, width);
  for (gsize i = 0; i < 3 * plane; i++)
    out[i] = (gfloat) MIN (q[i], 255) / 255.0f;
  return out;
}
