/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-reference.c - the operators' references against numbers from PyTorch
 * (reference-cases.h) and against small cases worked out by hand. The shaders
 * are tested against these references elsewhere.
 */
#include "engine/graph/reference.h"
#include "engine/ops/op.h"
#include "reference-cases.h"

#include <math.h>
#include <string.h>

/* A graph under construction with the values of its inputs. */
typedef struct {
  DeimGraph *graph;
  DeimFeed feeds[DEIM_MAX_INPUTS];
  guint n;
} Case;

static void
case_init (Case *c)
{
  *c = (Case){ .graph = deim_graph_new (NULL) };
}

static DeimTensor *
operand_take (Case *c, gint n, gint ch, gint h, gint w, gfloat *values)
{
  g_autofree gchar *name = g_strdup_printf ("x%u", c->n);
  DeimTensor *t = deim_input (c->graph, name, (DeimShape){ n, ch, h, w });
  g_assert_nonnull (t);
  c->feeds[c->n++] = (DeimFeed){ t, values };
  return t;
}

static DeimTensor *
operand_from (Case *c, gint n, gint ch, gint h, gint w, const gfloat *values)
{
  return operand_take (c, n, ch, h, w, g_memdup2 (values, (gsize) (n * ch * h * w) * sizeof (gfloat)));
}

/* fill() of reference-cases.py: numbers in -2..2, here times @scale plus @shift. */
static DeimTensor *
operand_scaled (Case *c, guint salt, gint n, gint ch, gint h, gint w, gfloat scale, gfloat shift)
{
  gsize size = (gsize) (n * ch * h * w);
  gfloat *values = g_new (gfloat, size);
  for (gsize i = 0; i < size; i++) {
    guint32 hash = (guint32) i * 2654435761u + salt * 40503u;
    gfloat v = (gfloat) (((gint) ((hash >> 16) % 2001) - 1000) / 500.0);
    values[i] = v * scale + shift;
  }
  return operand_take (c, n, ch, h, w, values);
}

static DeimTensor *
operand (Case *c, guint salt, gint n, gint ch, gint h, gint w)
{
  return operand_scaled (c, salt, n, ch, h, w, 1, 0);
}

static DeimReferenceRun *
run (Case *c, DeimTensor *out)
{
  g_autoptr (GError) error = NULL;
  DeimReferenceRun *result = NULL;
  deim_graph_mark_output (c->graph, out);
  deim_graph_finish (c->graph, &error);
  g_assert_no_error (error);
  deim_reference_run (c->graph, c->feeds, c->n, NULL, &result, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < c->n; i++)
    g_free ((gpointer) c->feeds[i].data);
  return result;
}

static void
expect_values (Case *c, DeimTensor *out, const gdouble *expected, gsize n)
{
  g_autoptr (DeimReferenceRun) result = run (c, out);
  const gfloat *got = deim_reference_get (result, out);
  g_assert_nonnull (got);
  g_assert_cmpuint (deim_shape_size (out->shape), ==, n);
  for (gsize i = 0; i < n; i++)
    if (got[i] != expected[i] && !(fabs (got[i] - expected[i]) <= 2e-6 * (1 + fabs (expected[i]))))
      g_error ("element %" G_GSIZE_FORMAT " is %.9g and should be %.9g", i, got[i], expected[i]);
  deim_graph_free (c->graph);
}
#define expect(c, out, values) expect_values (c, out, values, G_N_ELEMENTS (values))

static void
expect_indices (Case *c, DeimTensor *out, const gint32 *expected, gsize n)
{
  g_autoptr (DeimReferenceRun) result = run (c, out);
  const gint32 *got = deim_reference_get_int (result, out);
  g_assert_nonnull (got);
  g_assert_null (deim_reference_get (result, out));
  g_assert_cmpmem (got, deim_shape_size (out->shape) * sizeof (gint32), expected, n * sizeof (gint32));
  deim_graph_free (c->graph);
}

/* ------------------------------------------------------------ convolutions */

static DeimTensor *
conv_case (Case *c)
{
  case_init (c);
  return deim_conv2d (c->graph, operand (c, 1, 2, 4, 5, 6), operand (c, 2, 6, 2, 3, 3), operand (c, 3, 6, 1, 1, 1), 2,
                      2, 0, 1, 2, 0);
}

static void
test_conv (void)
{
  Case c;
  DeimTensor *y = conv_case (&c);
  g_assert_cmpfloat (y->producer->op->flop (y->producer), ==, 2.0 * 2 * 6 * 3 * 3 * 2 * 3 * 3);
  expect (&c, y, expected_conv);

  case_init (&c);
  y = deim_conv2d (c.graph, operand (&c, 1, 1, 3, 4, 5), operand (&c, 2, 3, 1, 3, 3), NULL, 1, 3, 1, 1, 1, 1);
  expect (&c, y, expected_depthwise);
}

static void
test_conv_epilogue (void)
{
  Case c;
  DeimTensor *y = conv_case (&c);
  DeimNode *node = y->producer;
  node->attrs.conv.epilogue =
      (DeimEpilogue){ .residual_before = TRUE, .act = DEIM_ACT_SILU, .scale = 0.5f, .shift = 0.25f };
  node->in[3] = operand (&c, 4, 2, 6, 3, 3);
  expect (&c, y, expected_conv_before);

  y = conv_case (&c);
  node = y->producer;
  node->attrs.conv.epilogue = (DeimEpilogue){
    .residual_after = TRUE, .act = DEIM_ACT_CLAMP, .lo = -1, .hi = 1.5f, .scale = 0.5f, .shift = 0.25f
  };
  node->in[3] = operand (&c, 4, 2, 6, 3, 3);
  expect (&c, y, expected_conv_after);
}

/* Rows longer than the accumulators' chunk: a kernel of one pixel right of the centre shifts the row by one. */
static void
test_conv_long_row (void)
{
  Case c;
  case_init (&c);
  gint w = 1100;
  gfloat *x = g_new (gfloat, w);
  g_autofree gdouble *y = g_new (gdouble, w);
  for (gint i = 0; i < w; i++) {
    x[i] = (gfloat) i;
    y[i] = i + 1 < w ? i + 1 : 0;
  }
  const gfloat kernel[9] = { 0, 0, 0, 0, 0, 1, 0, 0, 0 };
  DeimTensor *input = operand_take (&c, 1, 1, 1, w, x);
  DeimTensor *out = deim_conv2d (c.graph, input, operand_from (&c, 1, 1, 3, 3, kernel), NULL, 1, 1, 1, 1, 1, 1);
  expect_values (&c, out, y, (gsize) w);
}

static void
test_linear (void)
{
  Case c;
  case_init (&c);
  DeimTensor *y =
      deim_linear (c.graph, operand (&c, 1, 2, 5, 1, 3), operand (&c, 2, 4, 5, 1, 1), operand (&c, 3, 4, 1, 1, 1));
  /* PyTorch's [n, T, c] turned to [n, c, T] by the script */
  expect (&c, y, expected_linear);
}

/* ------------------------------------------------------------- elementwise */

static void
test_batch_norm (void)
{
  Case c;
  case_init (&c);
  DeimTensor *x = operand (&c, 1, 2, 3, 2, 2), *mean = operand (&c, 4, 3, 1, 1, 1);
  DeimTensor *var = operand (&c, 5, 3, 1, 1, 1);
  gfloat *v = (gfloat *) c.feeds[2].data;
  for (gint i = 0; i < 3; i++)
    v[i] = fabsf (v[i]) + 0.1f;
  DeimTensor *weight = operand (&c, 2, 3, 1, 1, 1), *bias = operand (&c, 3, 3, 1, 1, 1);
  expect (&c, deim_batch_norm (c.graph, x, weight, bias, mean, var, 1e-2f), expected_batch_norm);
}

static void
test_act (void)
{
  static const struct {
    DeimAct act;
    const gdouble *expected;
  } rows[] = { { DEIM_ACT_SILU, expected_silu },
               { DEIM_ACT_GELU, expected_gelu },
               { DEIM_ACT_SIGMOID, expected_sigmoid } };
  Case c;
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    case_init (&c);
    expect_values (&c, deim_act (c.graph, operand_scaled (&c, 1, 1, 16, 1, 1, 3, 0), rows[i].act), rows[i].expected,
                   16);
  }
  case_init (&c);
  expect (&c, deim_act (c.graph, operand_scaled (&c, 1, 1, 16, 1, 1, 0.5f, 0.5f), DEIM_ACT_INVERSE_SIGMOID),
          expected_inverse_sigmoid);

  const gfloat x[4] = { -2, -0.0f, 0.5f, 3 };
  case_init (&c);
  expect (&c, deim_act (c.graph, operand_from (&c, 1, 4, 1, 1, x), DEIM_ACT_RELU), ((gdouble[]){ 0, 0, 0.5, 3 }));
  case_init (&c);
  expect (&c, deim_clamp (c.graph, operand_from (&c, 1, 4, 1, 1, x), -1, 2), ((gdouble[]){ -1, 0, 0.5, 2 }));
}

static void
test_act_nan (void)
{
  const DeimAct acts[] = { DEIM_ACT_RELU, DEIM_ACT_SILU, DEIM_ACT_GELU, DEIM_ACT_SIGMOID, DEIM_ACT_INVERSE_SIGMOID };
  for (guint i = 0; i < G_N_ELEMENTS (acts); i++) {
    Case c;
    case_init (&c);
    const gfloat nan = NAN;
    DeimTensor *y = deim_act (c.graph, operand_from (&c, 1, 1, 1, 1, &nan), acts[i]);
    g_autoptr (DeimReferenceRun) result = run (&c, y);
    g_assert_true (isnan (deim_reference_get (result, y)[0]));
    deim_graph_free (c.graph);
  }
}

static void
test_affine (void)
{
  Case c;
  case_init (&c);
  const gfloat x[3] = { 1, -2, 4 }, scale = 0.5f, bias = 3;
  DeimTensor *t = operand_from (&c, 1, 3, 1, 1, x);
  t = deim_affine (c.graph, t, operand_from (&c, 1, 1, 1, 1, &scale), operand_from (&c, 1, 1, 1, 1, &bias));
  expect (&c, t, ((gdouble[]){ 3.5, 2, 5 }));
}

static void
test_broadcast (void)
{
  const gfloat a[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, b[2] = { 10, 20 };
  Case c;
  case_init (&c); /* per channel: [1, 2, 2, 2] + [1, 2, 1, 1] */
  DeimTensor *x = operand_from (&c, 1, 2, 2, 2, a);
  expect (&c, deim_add (c.graph, x, operand_from (&c, 1, 2, 1, 1, b)), ((gdouble[]){ 11, 12, 13, 14, 25, 26, 27, 28 }));
  case_init (&c); /* per row: [1, 2, 2, 2] * [1, 1, 2, 1] */
  x = operand_from (&c, 1, 2, 2, 2, a);
  expect (&c, deim_mul (c.graph, x, operand_from (&c, 1, 1, 2, 1, b)),
          ((gdouble[]){ 10, 20, 60, 80, 50, 60, 140, 160 }));
  case_init (&c); /* per column and batch entry: [2, 2, 1, 2] + [2, 1, 1, 1] */
  x = operand_from (&c, 2, 2, 1, 2, a);
  expect (&c, deim_add (c.graph, x, operand_from (&c, 2, 1, 1, 1, b)), ((gdouble[]){ 11, 12, 13, 14, 25, 26, 27, 28 }));
  case_init (&c); /* [2, 2, 1, 2] * [1, 1, 1, 2] */
  x = operand_from (&c, 2, 2, 1, 2, a);
  expect (&c, deim_mul (c.graph, x, operand_from (&c, 1, 1, 1, 2, b)),
          ((gdouble[]){ 10, 40, 30, 80, 50, 120, 70, 160 }));
}

/* ------------------------------------------------------------------ shapes */

static void
test_concat (void)
{
  const gfloat a[4] = { 1, 2, 3, 4 }, b[8] = { 5, 6, 7, 8, 9, 10, 11, 12 };
  Case c;
  gint channel, position;
  case_init (&c); /* [2, 1, 1, 2] and [2, 2, 1, 2] along channels */
  DeimTensor *x[2] = { operand_from (&c, 2, 1, 1, 2, a), operand_from (&c, 2, 2, 1, 2, b) };
  DeimTensor *y = deim_concat (c.graph, x, 2, TRUE);
  y->producer->op->place (y->producer, 1, &channel, &position);
  g_assert_cmpint (channel, ==, 1);
  g_assert_cmpint (position, ==, 0);
  expect (&c, y, ((gdouble[]){ 1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12 }));

  case_init (&c); /* [1, 2, 1, 2] and [1, 2, 1, 4] along positions */
  x[0] = operand_from (&c, 1, 2, 1, 2, a);
  x[1] = operand_from (&c, 1, 2, 1, 4, b);
  y = deim_concat (c.graph, x, 2, FALSE);
  y->producer->op->place (y->producer, 1, &channel, &position);
  g_assert_cmpint (channel, ==, 0);
  g_assert_cmpint (position, ==, 2);
  expect (&c, y, ((gdouble[]){ 1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12 }));
}

static void
test_slice_and_reshape (void)
{
  const gfloat a[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
  Case c;
  case_init (&c); /* [2, 3, 1, 2] */
  expect (&c, deim_slice (c.graph, operand_from (&c, 2, 3, 1, 2, a), TRUE, 1, 2),
          ((gdouble[]){ 3, 4, 5, 6, 9, 10, 11, 12 }));
  case_init (&c); /* [2, 2, 1, 3] */
  expect (&c, deim_slice (c.graph, operand_from (&c, 2, 2, 1, 3, a), FALSE, 1, 2),
          ((gdouble[]){ 2, 3, 5, 6, 8, 9, 11, 12 }));
  case_init (&c);
  DeimTensor *t = deim_flatten (c.graph, operand_from (&c, 1, 2, 2, 3, a));
  g_assert_cmpint (t->shape.h, ==, 1);
  g_assert_cmpint (t->shape.w, ==, 6);
  t = deim_unflatten (c.graph, t, 3, 2);
  g_assert_cmpint (t->shape.h, ==, 3);
  expect (&c, t, ((gdouble[]){ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }));
}

static void
test_pool (void)
{
  Case c;
  case_init (&c);
  expect (&c, deim_avg_pool (c.graph, operand (&c, 1, 2, 2, 5, 4), 3, 2, 1), expected_avg_pool);
  case_init (&c);
  expect (&c, deim_max_pool (c.graph, operand_scaled (&c, 1, 2, 2, 5, 4, 1, -3), 3, 2, 1, 1, 1, 1, -INFINITY),
          expected_max_pool);
  /* HGNetv2's stem: 2x2 stride 1 over a map padded right and below by zeros, which win over negative numbers */
  const gfloat a[6] = { -1, -2, -3, 4, -5, -6 };
  case_init (&c);
  expect (&c, deim_max_pool (c.graph, operand_from (&c, 1, 1, 2, 3, a), 2, 1, 0, 0, 1, 1, 0),
          ((gdouble[]){ 4, -2, 0, 4, 0, 0 }));
}

static void
test_upsample_and_mean (void)
{
  const gfloat a[4] = { 1, 2, 3, 5 };
  Case c;
  case_init (&c);
  expect (&c, deim_upsample2x (c.graph, operand_from (&c, 1, 2, 1, 2, a)),
          ((gdouble[]){ 1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 5, 5, 3, 3, 5, 5 }));
  case_init (&c);
  expect (&c, deim_global_mean (c.graph, operand_from (&c, 1, 2, 1, 2, a)), ((gdouble[]){ 1.5, 4 }));
}

/* ------------------------------------------------------------ transformers */

static void
test_norm (void)
{
  Case c;
  case_init (&c);
  DeimTensor *x = operand (&c, 1, 2, 5, 2, 3), *w = operand (&c, 2, 5, 1, 1, 1), *b = operand (&c, 3, 5, 1, 1, 1);
  expect (&c, deim_layer_norm (c.graph, x, w, b, 1e-2f), expected_layer_norm);

  case_init (&c);
  x = operand (&c, 1, 2, 5, 2, 3);
  w = operand (&c, 2, 5, 1, 1, 1);
  DeimTensor *y = deim_layer_norm (c.graph, x, w, operand (&c, 3, 5, 1, 1, 1), 1e-2f);
  y->producer->in[3] = operand (&c, 4, 2, 5, 2, 3);
  expect (&c, y, expected_layer_norm_residual);

  case_init (&c);
  x = operand (&c, 1, 2, 5, 2, 3);
  expect (&c, deim_rms_norm (c.graph, x, operand (&c, 2, 5, 1, 1, 1), 1e-2f), expected_rms_norm);
}

static void
test_attention (void)
{
  Case c;
  case_init (&c);
  DeimTensor *q = operand (&c, 1, 2, 6, 1, 3), *k = operand (&c, 2, 2, 6, 1, 5), *v = operand (&c, 3, 2, 6, 1, 5);
  DeimTensor *y = deim_attention (c.graph, q, k, v, NULL, 2);
  g_assert_cmpfloat (y->producer->op->flop (y->producer), ==, 4.0 * 2 * 3 * 5 * 6);
  expect (&c, y, expected_attention);
}

/* The case of deform() in reference-cases.py. */
static DeimTensor *
deform_case (Case *c, DeimSampling sampling)
{
  gboolean discrete = sampling == DEIM_SAMPLE_DISCRETE;
  DeimDeformAttrs a = { .heads = 2,
                        .levels = 2,
                        .h = { 2, 3 },
                        .w = { 3, 4 },
                        .points = { 2, 1 },
                        .point_scale = { 0.5f, 1 },
                        .sampling = sampling };
  if (discrete) {
    a.h[0] = a.w[0] = 3;
    a.h[1] = a.w[1] = 4;
  }
  case_init (c);
  DeimTensor *value = operand (c, 1, 2, 6, 1, a.h[0] * a.w[0] + a.h[1] * a.w[1]);
  DeimTensor *offsets = operand_scaled (c, 2, 2, 12, 1, 4, discrete ? 4 : 1, 0);
  DeimTensor *weights = operand (c, 3, 2, 6, 1, 4), *refs = operand_scaled (c, 4, 2, 4, 1, 4, 0.25f, 0.5f);
  return deim_deform_attn (c->graph, value, offsets, weights, refs, &a);
}

static void
test_deform (void)
{
  Case c;
  DeimTensor *y = deform_case (&c, DEIM_SAMPLE_BILINEAR);
  expect (&c, y, expected_deform);
  y = deform_case (&c, DEIM_SAMPLE_DISCRETE);
  expect (&c, y, expected_deform_discrete);
}

/* One point of one head on a 2x3 map and on a 3x2 map, where the official rule (x clamped by the height) is wrong. */
static void
test_deform_discrete_not_square (void)
{
  const gfloat map[6] = { 1, 2, 3, 4, 5, 6 }, offset[2] = { 0, 0 }, weight = 7;
  const gfloat far[4] = { 0.99f, 0.99f, 1, 1 };
  for (gint tall = 0; tall < 2; tall++) {
    DeimDeformAttrs a = { .heads = 1,
                          .levels = 1,
                          .h = { tall ? 3 : 2 },
                          .w = { tall ? 2 : 3 },
                          .points = { 1 },
                          .point_scale = { 1 },
                          .sampling = DEIM_SAMPLE_DISCRETE };
    Case c;
    case_init (&c);
    DeimTensor *value = operand_from (&c, 1, 1, 1, 6, map), *offsets = operand_from (&c, 1, 2, 1, 1, offset);
    DeimTensor *weights = operand_from (&c, 1, 1, 1, 1, &weight), *refs = operand_from (&c, 1, 4, 1, 1, far);
    /* wide: x = trunc (3.47) = 3 -> h - 1 = 1, y = 1, row of 3: 5. tall: x = 2 -> h - 1 = 2 -> w - 1 = 1, y = 2: 6 */
    const gdouble expected[1] = { tall ? 6 : 5 };
    expect (&c, deim_deform_attn (c.graph, value, offsets, weights, refs, &a), expected);
  }
}

/* Locations that are infinite or not a number read nothing (bilinear) or some pixel (discrete), and never crash. */
static void
test_deform_wild (void)
{
  const gfloat wild[] = { NAN, INFINITY, -INFINITY, 1e30f, -1e30f };
  for (guint i = 0; i < 2 * G_N_ELEMENTS (wild); i++) {
    gboolean discrete = i & 1;
    DeimDeformAttrs a = { .heads = 1,
                          .levels = 1,
                          .h = { 2 },
                          .w = { 2 },
                          .points = { 1 },
                          .point_scale = { 1 },
                          .sampling = discrete ? DEIM_SAMPLE_DISCRETE : DEIM_SAMPLE_BILINEAR };
    const gfloat map[4] = { 5, 5, 5, 5 }, offset[2] = { wild[i / 2], 0 }, weight = 0, ref[4] = { 0.5f, 0.5f, 1, 1 };
    Case c;
    case_init (&c);
    DeimTensor *value = operand_from (&c, 1, 1, 1, 4, map), *offsets = operand_from (&c, 1, 2, 1, 1, offset);
    DeimTensor *weights = operand_from (&c, 1, 1, 1, 1, &weight), *refs = operand_from (&c, 1, 4, 1, 1, ref);
    const gdouble expected[1] = { discrete ? 5 : 0 };
    expect (&c, deim_deform_attn (c.graph, value, offsets, weights, refs, &a), expected);
  }
}

/* --------------------------------------------------------------- detectors */

static void
test_fdr (void)
{
  Case c;
  case_init (&c);
  DeimFdrAttrs a = { .reg_scale = -4 };
  operand (&c, 3, 33, 1, 1, 1);
  memcpy (a.bins, c.feeds[0].data, sizeof a.bins);
  DeimTensor *corners = operand_scaled (&c, 1, 2, 132, 1, 3, 2, 0), *boxes = operand (&c, 2, 2, 4, 1, 3);
  DeimTensor *y = deim_fdr (c.graph, corners, boxes, &a);
  g_assert_true (y->keep_fp32);
  expect (&c, y, expected_fdr);
}

static void
test_lqe (void)
{
  Case c;
  case_init (&c);
  expect (&c, deim_lqe_stats (c.graph, operand_scaled (&c, 1, 2, 132, 1, 3, 2, 0)), expected_lqe);
}

static void
test_topk (void)
{
  /* [1, 2, 1, 5]; best of a token: 3 9 9 -1 NaN */
  const gfloat scores[10] = { 3, 9, 4, -1, NAN, 1, 2, 9, -7, NAN };
  Case c;
  case_init (&c);
  expect_indices (&c, deim_topk (c.graph, operand_from (&c, 1, 2, 1, 5, scores), 5, FALSE),
                  (const gint32[]){ 1, 2, 0, 3, 4 }, 5);
  /* flat: token * 2 + class: 3 1 | 9 2 | 4 9 | -1 -7 | NaN NaN */
  case_init (&c);
  expect_indices (&c, deim_topk (c.graph, operand_from (&c, 1, 2, 1, 5, scores), 10, TRUE),
                  (const gint32[]){ 2, 5, 4, 0, 3, 1, 6, 7, 8, 9 }, 10);
  /* two batch entries: [2, 1, 1, 3] */
  const gfloat two[6] = { 1, 2, 3, 6, 5, 6 };
  case_init (&c);
  expect_indices (&c, deim_topk (c.graph, operand_from (&c, 2, 1, 1, 3, two), 2, FALSE), (const gint32[]){ 2, 1, 0, 2 },
                  4);
}

static void
test_gather (void)
{
  /* index of the flat top-2 over two classes: entries 5 and 1 -> tokens 2 and 0 */
  const gfloat scores[6] = { 0, 1, 2, 8, 3, 9 }, x[6] = { 10, 11, 12, 20, 21, 22 };
  Case c;
  case_init (&c);
  DeimTensor *index = deim_topk (c.graph, operand_from (&c, 1, 2, 1, 3, scores), 2, TRUE);
  expect (&c, deim_gather (c.graph, operand_from (&c, 1, 2, 1, 3, x), index, 2), ((gdouble[]){ 12, 10, 22, 20 }));

  /* one set of tokens for two lists of indices: 2, 0 | 1, 2 */
  const gfloat two[6] = { 5, 1, 9, 0, 8, 4 };
  case_init (&c);
  index = deim_topk (c.graph, operand_from (&c, 2, 1, 1, 3, two), 2, FALSE);
  expect (&c, deim_gather (c.graph, operand_from (&c, 1, 1, 1, 3, x), index, 1), ((gdouble[]){ 12, 10, 11, 12 }));

  /* a set for each list, and an index beyond the tokens, which reads the last one */
  case_init (&c);
  index = deim_topk (c.graph, operand_from (&c, 2, 1, 1, 3, two), 2, FALSE);
  expect (&c, deim_gather (c.graph, operand_from (&c, 2, 1, 1, 2, x), index, 1), ((gdouble[]){ 11, 10, 20, 20 }));
}

static void
test_detections (void)
{
  Case c;
  case_init (&c);
  DeimTensor *logits = operand (&c, 1, 2, 3, 1, 4), *boxes = operand (&c, 2, 2, 4, 1, 4);
  expect (&c, deim_detections (c.graph, logits, boxes, 5), expected_detections);

  /* NaN comes last with score 0; equals in the order of query * C + class */
  const gfloat l[4] = { NAN, 0, 0, 0 }, b[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  case_init (&c); /* [1, 2, 1, 2]: query 0 has NaN and 0, query 1 has 0 and 0 */
  logits = operand_from (&c, 1, 2, 1, 2, l);
  expect (&c, deim_detections (c.graph, logits, operand_from (&c, 1, 4, 1, 2, b), 4),
          ((gdouble[]){ 0.5, 0.5, 0.5, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, //
                        1,   2,   2,   1, 3, 4, 4, 3, 5, 6, 6, 5, 7, 8, 8, 7 }));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/reference/conv", test_conv);
  g_test_add_func ("/reference/conv/epilogue", test_conv_epilogue);
  g_test_add_func ("/reference/conv/long-row", test_conv_long_row);
  g_test_add_func ("/reference/linear", test_linear);
  g_test_add_func ("/reference/batch-norm", test_batch_norm);
  g_test_add_func ("/reference/act", test_act);
  g_test_add_func ("/reference/act/nan", test_act_nan);
  g_test_add_func ("/reference/affine", test_affine);
  g_test_add_func ("/reference/broadcast", test_broadcast);
  g_test_add_func ("/reference/concat", test_concat);
  g_test_add_func ("/reference/slice-and-reshape", test_slice_and_reshape);
  g_test_add_func ("/reference/pool", test_pool);
  g_test_add_func ("/reference/upsample-and-mean", test_upsample_and_mean);
  g_test_add_func ("/reference/norm", test_norm);
  g_test_add_func ("/reference/attention", test_attention);
  g_test_add_func ("/reference/deform", test_deform);
  g_test_add_func ("/reference/deform/discrete-not-square", test_deform_discrete_not_square);
  g_test_add_func ("/reference/deform/wild", test_deform_wild);
  g_test_add_func ("/reference/fdr", test_fdr);
  g_test_add_func ("/reference/lqe", test_lqe);
  g_test_add_func ("/reference/topk", test_topk);
  g_test_add_func ("/reference/gather", test_gather);
  g_test_add_func ("/reference/detections", test_detections);
  return g_test_run ();
}
