/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * elementwise.c - a + b and a * b (torch.add, torch.mul). Operands: a
 * [n, c, h, w], and b with each dimension equal to a's or 1, where it repeats.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_add, deim_op_mul;

/* Calls for every element of a with its own index and that of its partner in b. */
static void
combine (const DeimNode *node, const DeimOperands *operands, gboolean multiply)
{
  DeimShape a = node->in[0]->shape, b = node->in[1]->shape;
  gsize i = 0;
  for (gint n = 0; n < a.n; n++)
    for (gint c = 0; c < a.c; c++)
      for (gint h = 0; h < a.h; h++)
        for (gint w = 0; w < a.w; w++, i++) {
          gsize j = b.n == 1 ? 0 : (gsize) n;
          j = j * (gsize) b.c + (b.c == 1 ? 0 : (gsize) c);
          j = j * (gsize) b.h + (b.h == 1 ? 0 : (gsize) h);
          j = j * (gsize) b.w + (b.w == 1 ? 0 : (gsize) w);
          gdouble x = operands->in[0][i], y = operands->in[1][j];
          operands->out[0][i] = (gfloat) (multiply ? x * y : x + y);
        }
}

static void
add_reference (const DeimNode *node, const DeimOperands *operands)
{
  combine (node, operands, FALSE);
}

static void
mul_reference (const DeimNode *node, const DeimOperands *operands)
{
  combine (node, operands, TRUE);
}

static void
add_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  deim_backward_give (backward, node->in[0], dy);
  if (deim_backward_wants (backward, node->in[1]))
    deim_backward_give (backward, node->in[1], deim_sum_to (deim_backward_graph (backward), dy, node->in[1]->shape));
}

static void
mul_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  if (deim_backward_wants (backward, node->in[0]))
    deim_backward_give (backward, node->in[0], deim_mul (graph, dy, node->in[1]));
  if (deim_backward_wants (backward, node->in[1]))
    deim_backward_give (backward, node->in[1],
                        deim_sum_to (graph, deim_mul (graph, dy, node->in[0]), node->in[1]->shape));
}

/* ---------------------------------------------------------------- dispatch */

static void
elementwise_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
  deim_channels_same (solver, node->in[1], node->out[0]);
}

static gboolean
add_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimPointwise p = deim_pointwise (DEIM_POINTWISE_ADD, node->in[0], node->in[1], node->out[0]);
  deim_dispatch_pointwise (list, &p);
  return TRUE;
}

static gboolean
mul_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimPointwise p = deim_pointwise (DEIM_POINTWISE_MUL, node->in[0], node->in[1], node->out[0]);
  deim_dispatch_pointwise (list, &p);
  return TRUE;
}

const DeimOp deim_op_add = {
  .name = "add",
  .reference = add_reference,
  .gradient = add_gradient,
  .channels = elementwise_channels,
  .dispatch = add_dispatch,
};

const DeimOp deim_op_mul = {
  .name = "mul",
  .reference = mul_reference,
  .gradient = mul_gradient,
  .channels = elementwise_channels,
  .dispatch = mul_dispatch,
};

static gboolean
repeats_to (gint part, gint whole)
{
  return part == 1 || part == whole;
}

static DeimTensor *
append (DeimGraph *graph, const DeimOp *op, DeimTensor *a, DeimTensor *b)
{
  DeimTensor *in[2] = { a, b };
  if (!deim_op_ready (graph, op, in, 2))
    return NULL;
  DeimShape s = a->shape, t = b->shape;
  if (!repeats_to (t.n, s.n) || !repeats_to (t.c, s.c) || !repeats_to (t.h, s.h) || !repeats_to (t.w, s.w)) {
    deim_op_fail_shapes (graph, op, a, b, "each dimension of the second operand must be the first's or 1");
    return NULL;
  }
  DeimNode *node = deim_op_append (graph, op, in, 2, s);
  if (!node)
    return NULL;
  node->out[0]->plain = a->plain && b->plain;
  return node->out[0];
}

DeimTensor *
deim_add (DeimGraph *graph, DeimTensor *a, DeimTensor *b)
{
  return append (graph, &deim_op_add, a, b);
}

DeimTensor *
deim_mul (DeimGraph *graph, DeimTensor *a, DeimTensor *b)
{
  return append (graph, &deim_op_mul, a, b);
}
