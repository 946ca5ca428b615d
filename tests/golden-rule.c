/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden-rule.c - the generator of golden weights, and how wide each tensor's values are; see golden.h. */
#include "golden.h"

#include <math.h>
#include <string.h>

/* -------------------------------------------------------------------- PRNG */

static guint64
fnv1a64 (const gchar *s)
{
  guint64 h = G_GUINT64_CONSTANT (0xcbf29ce484222325);
  for (; *s; s++)
    h = (h ^ (guint8) *s) * G_GUINT64_CONSTANT (0x100000001b3);
  return h;
}

guint64
golden_mix (guint64 x)
{
  guint64 z = x + G_GUINT64_CONSTANT (0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94D049BB133111EB);
  return z ^ (z >> 31);
}

guint64
golden_stream (const gchar *name, guint64 seed)
{
  return fnv1a64 (name) + seed * G_GUINT64_CONSTANT (0x9E3779B97F4A7C15);
}

guint64
golden_bits (const gchar *name, guint64 seed, guint64 i)
{
  return golden_mix (golden_stream (name, seed) + i);
}

guint32
golden_crc32 (gconstpointer data, gsize size)
{
  static guint32 table[256];
  static gsize once;
  if (g_once_init_enter (&once)) {
    for (guint32 i = 0; i < 256; i++) {
      guint32 c = i;
      for (gint k = 0; k < 8; k++)
        c = (c >> 1) ^ (c & 1 ? 0xEDB88320u : 0u);
      table[i] = c;
    }
    g_once_init_leave (&once, 1);
  }
  const guint8 *bytes = data;
  guint32 c = 0xFFFFFFFFu;
  for (gsize i = 0; i < size; i++)
    c = table[(c ^ bytes[i]) & 0xFF] ^ (c >> 8);
  return ~c;
}

/* ------------------------------------------------------------- rule table */

static gboolean
is_lite (const gchar *name, const gchar *rest)
{
  return g_str_has_prefix (name, "encoder.") && g_str_equal (name + strlen ("encoder."), rest);
}

/* DEIMv2's and RT-DETR's additions, tried first; 0 if none applies. */
static gdouble
added_gain (const GoldenParam *p)
{
  const gchar *n = p->name;
  gdouble lite = 0;
  if (strstr (n, ".aggregation_excitation_conv."))
    return 0.7;
  if (g_str_has_prefix (n, "backbone.model.")) {
    if (strstr (n, ".conv2."))
      return 0.8;
    if (strstr (n, ".root.conv."))
      return 1.1;
    if (strstr (n, ".project."))
      return 1.0;
  }
  if (p->n_dims != 4)
    return 0;
  if (is_lite (n, "fpn_block.cv1.conv.weight"))
    lite = 3.5;
  else if (is_lite (n, "fpn_block.cv4.conv.weight") || is_lite (n, "bi_fusion.cv.conv.weight"))
    lite = 2.5;
  else if (is_lite (n, "down_sample1.1.weight"))
    lite = 3.0;
  else if (is_lite (n, "down_sample2.1.weight") || is_lite (n, "pan_block.cv1.conv.weight") ||
           is_lite (n, "pan_block.cv4.conv.weight"))
    lite = 1.5;
  else if (g_str_has_prefix (n, "encoder.fpn_block.") || g_str_has_prefix (n, "encoder.pan_block."))
    lite = 1.1;
  return p->dims[0] == 112 || p->dims[0] == 224 ? lite * 0.75 : lite;
}

/* DEIMv2's HybridEncoder has other gains at the same names; 0 if none applies. */
static gdouble
sum_gain (const GoldenParam *p)
{
  const gchar *n = p->name;
  gboolean block = g_str_has_prefix (n, "encoder.fpn_blocks.") || g_str_has_prefix (n, "encoder.pan_blocks.");
  gboolean cv = g_str_has_suffix (n, ".cv1.conv.weight") || g_str_has_suffix (n, ".cv4.conv.weight");
  if (p->n_dims != 4 || !(g_str_has_prefix (n, "encoder.downsample_convs.") || (block && cv)))
    return 0;
  return p->dims[0] == 384 || p->dims[0] == 768 ? 0.85 : 1.2;
}

static gdouble
gain (const GoldenParam *p)
{
  const gchar *n = p->name;
  if (strstr (n, ".branch2b."))
    return 0.8;
  if (strstr (n, ".branch2c."))
    return 0.9;
  if (strstr (n, ".short."))
    return 1.2;
  if (strstr (n, ".aggregation.1."))
    return 1.1;
  if (strstr (n, ".cv2.0.") || strstr (n, ".cv2.1.") || strstr (n, ".cv3.0.") || strstr (n, ".cv3.1."))
    return 0.95;
  if (g_str_has_prefix (n, "backbone.stages.") && (strstr (n, ".conv1.conv.") || strstr (n, ".downsample.")))
    return 1.0;
  if (g_str_has_prefix (n, "encoder.input_proj."))
    return 0.6;
  if (strstr (n, ".bottlenecks.") || strstr (n, "_blocks.0.conv1.") || strstr (n, "_blocks.1.conv1.") ||
      strstr (n, "_blocks.0.conv2.") || strstr (n, "_blocks.1.conv2."))
    return 1.15;
  if (strstr (n, "score_head"))
    return 2.0;
  if (g_str_has_suffix (n, "enc_bbox_head.layers.2.weight") || g_str_has_suffix (n, "pre_bbox_head.layers.2.weight"))
    return 0.7;
  if (strstr (n, "dec_bbox_head") && g_str_has_suffix (n, "layers.2.weight"))
    return 1.0;
  if (strstr (n, "query_pos_head"))
    return 2.0;
  if (g_str_has_suffix (n, "conv.weight") || g_str_has_prefix (n, "backbone."))
    return 1.5;
  return 1.4;
}

static gboolean
set (gfloat *ret_s, gfloat *ret_o, gfloat s, gfloat o)
{
  *ret_s = s;
  *ret_o = o;
  return TRUE;
}

gboolean
golden_rule (const GoldenParam *p, gboolean deimv2, gfloat *ret_s, gfloat *ret_o)
{
  const gchar *n = p->name;
  const gchar *leaf = strrchr (n, '.') ? strrchr (n, '.') + 1 : n;
  static const gchar *const constants[] = { "num_batches_tracked", "anchors", "valid_mask",
                                            "num_points_scale",    "up",      "reg_scale" };
  for (guint i = 0; i < G_N_ELEMENTS (constants); i++)
    if (g_str_equal (leaf, constants[i]))
      return FALSE;
  if (g_str_has_suffix (n, ".lab.scale"))
    return set (ret_s, ret_o, 0.2f, 1.0f);
  if (g_str_has_suffix (n, ".lab.bias"))
    return set (ret_s, ret_o, 0.1f, 0.0f);
  if (g_str_equal (leaf, "scale") || (g_str_equal (leaf, "weight") && p->n_dims == 1))
    return set (ret_s, ret_o, 0.2f, 1.0f);
  if (g_str_equal (leaf, "running_mean"))
    return set (ret_s, ret_o, 0.1f, 0.0f);
  if (g_str_equal (leaf, "running_var"))
    return set (ret_s, ret_o, 0.3f, 1.0f);
  if (g_str_has_suffix (n, "sampling_offsets.bias"))
    return set (ret_s, ret_o, 2.0f, 0.0f);
  if (strstr (n, "score_head") && g_str_equal (leaf, "bias"))
    return set (ret_s, ret_o, 0.5f, -2.0f);
  if (g_str_equal (leaf, "bias") || g_str_equal (leaf, "in_proj_bias"))
    return set (ret_s, ret_o, 0.1f, 0.0f);
  gdouble g = added_gain (p);
  if (g == 0 && deimv2)
    g = sum_gain (p);
  if (g == 0 && g_str_has_suffix (n, "_embed.weight"))
    return set (ret_s, ret_o, 1.0f, 0.0f);
  if (g == 0)
    g = gain (p);
  gdouble fan_in = 1;
  for (guint i = 1; i < p->n_dims; i++)
    fan_in *= (gdouble) p->dims[i];
  return set (ret_s, ret_o, (gfloat) (g * sqrt (3.0 / fan_in)), 0.0f);
}
