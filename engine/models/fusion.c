/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fusion.c - what an encoder does where two levels meet: CSP (RT-DETR), or
 * ELAN with CSPs inside (D-FINE, DEIMv2). SiLU everywhere.
 */
#include "engine/models/parts.h"

static DeimTensor *
unit (const DeimBuild *b, DeimTensor *x, const gchar *scope, gint out, gint kernel)
{
  return deim_block_conv_norm (b->graph, x, scope,
                               &(DeimConvNorm){ .out = out, .kernel = kernel, .act = DEIM_ACT_SILU });
}

static DeimTensor *
repvgg_chain (const DeimBuild *b, DeimTensor *x)
{
  for (gint i = 0; i < b->arch->encoder.depth; i++) {
    g_autofree gchar *scope = g_strdup_printf ("bottlenecks.%d", i);
    x = deim_block_repvgg (b->graph, x, scope);
  }
  return x;
}

/* Two 1x1 to encoder.width channels: one through the RepVGG blocks, one past them; their sum. Called in scope. */
static DeimTensor *
csp (const DeimBuild *b, DeimTensor *x)
{
  gint width = b->arch->encoder.width;
  DeimTensor *deep = repvgg_chain (b, unit (b, x, "conv1", width, 1));
  return deim_add (b->graph, deep, unit (b, x, "conv2", width, 1));
}

/* The same with one 1x1: its second half goes through the blocks. Called in scope. */
static DeimTensor *
csp2 (const DeimBuild *b, DeimTensor *x)
{
  gint width = b->arch->encoder.width;
  x = unit (b, x, "conv1", 2 * width, 1);
  DeimTensor *past = deim_slice (b->graph, x, TRUE, 0, width);
  return deim_add (b->graph, repvgg_chain (b, deim_slice (b->graph, x, TRUE, width, width)), past);
}

/* cv2 or cv3 of ELAN. */
static DeimTensor *
elan_branch (const DeimBuild *b, DeimTensor *x, const gchar *scope)
{
  const DeimEncoderArch *arch = &b->arch->encoder;
  deim_graph_push_scope (b->graph, "%s", scope);
  deim_graph_push_scope (b->graph, "0");
  x = arch->csp2 ? csp2 (b, x) : csp (b, x);
  deim_graph_pop_scope (b->graph);
  if (arch->fusion == DEIM_FUSION_ELAN4)
    x = unit (b, x, "1", arch->width, 3);
  deim_graph_pop_scope (b->graph);
  return x;
}

DeimTensor *
deim_fusion_block (const DeimBuild *b, DeimTensor *x, const gchar *scope)
{
  const DeimEncoderArch *arch = &b->arch->encoder;
  deim_graph_push_scope (b->graph, "%s", scope);
  if (arch->fusion == DEIM_FUSION_CSP) {
    x = csp (b, x);
    if (arch->width != arch->hidden)
      x = unit (b, x, "conv3", arch->hidden, 1);
  } else {
    DeimTensor *y = unit (b, x, "cv1", 2 * arch->hidden, 1);
    DeimTensor *y2 = elan_branch (b, deim_slice (b->graph, y, TRUE, arch->hidden, arch->hidden), "cv2");
    DeimTensor *y3 = elan_branch (b, y2, "cv3");
    x = deim_concat (b->graph, (DeimTensor *[]){ y, y2, y3 }, 3, TRUE);
    x = unit (b, x, "cv4", arch->hidden, 1);
  }
  deim_graph_tap (b->graph, x, NULL);
  deim_graph_pop_scope (b->graph);
  return x;
}
