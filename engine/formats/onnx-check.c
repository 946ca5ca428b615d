/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * onnx-check.c - whether an ONNX file computes with the operators of an official export, and no others; see onnx.h.
 *
 * The network is built from the tensors, so an operator that was exchanged
 * (another activation, another interpolation) would be lost without a word. The
 * lists are what the published exports hold, what PyTorch 1.13 makes of the
 * networks in bench/pytorch with opsets 16 and 17, and what later opsets have
 * in place of the same modules. They do not follow the edges: exchanged sums
 * and products remain unseen.
 */
#include "onnx.h"

#include <string.h>

/* Made of onnx.proto by the build. */
#include <engine/formats/onnx.pb-c.h>

#include "engine/error.h"

enum { BACKBONE = 1, ENCODER = 2, DECODER = 4, POST = 8, ANYWHERE = 16 };

static const struct {
  guint part;
  const gchar *scope, *title;
} parts[] = {
  { BACKBONE, "/model/backbone/", "in the backbone" },
  { ENCODER, "/model/encoder/", "in the encoder" },
  { DECODER, "/model/decoder/", "in the decoder" },
  { 0, "/model/", "between the modules" },
  { POST, "", "behind the network" }, /* /postprocessor/ in official files */
};

static const struct {
  const gchar *op;
  guint parts;
} operators[] = {
  /* Sums and products, shapes, and moving elements about. */
  { "Add", ANYWHERE },
  { "Cast", ANYWHERE },
  { "Concat", ANYWHERE },
  { "Constant", ANYWHERE },
  { "ConstantOfShape", ANYWHERE },
  { "Div", ANYWHERE },
  { "Equal", ANYWHERE },
  { "Expand", ANYWHERE },
  { "Flatten", ANYWHERE },
  { "Gather", ANYWHERE },
  { "Identity", ANYWHERE },
  { "Mul", ANYWHERE },
  { "Range", ANYWHERE },
  { "Reshape", ANYWHERE },
  { "Shape", ANYWHERE },
  { "Slice", ANYWHERE },
  { "Split", ANYWHERE },
  { "Squeeze", ANYWHERE },
  { "Sub", ANYWHERE },
  { "Tile", ANYWHERE },
  { "Transpose", ANYWHERE },
  { "Unsqueeze", ANYWHERE },
  { "Where", ANYWHERE },
  /* Layers. SiLU is x * Sigmoid (x), GELU contains Erf; norms of features are whole, or a mean, power and root. */
  { "AveragePool", BACKBONE | ENCODER },
  { "Conv", BACKBONE | ENCODER | DECODER },
  { "Erf", ENCODER },
  { "Gelu", ENCODER },
  { "Gemm", ENCODER | DECODER },
  { "GlobalAveragePool", ENCODER },
  { "GridSample", DECODER },
  { "LayerNormalization", ENCODER | DECODER },
  { "MatMul", ENCODER | DECODER },
  { "MaxPool", BACKBONE },
  { "Pad", BACKBONE },
  { "Pow", ENCODER | DECODER },
  { "ReduceMean", ENCODER | DECODER },
  { "ReduceSum", DECODER },
  { "Relu", BACKBONE | DECODER },
  { "Resize", ENCODER },
  { "Sigmoid", ENCODER | DECODER | POST },
  { "Softmax", ENCODER | DECODER | POST },
  { "Sqrt", ENCODER | DECODER },
  /* The encoder's table of positions, where it is computed. */
  { "Cos", ENCODER },
  { "Sin", ENCODER },
  /* Inverse sigmoids, the limits of coordinates, selection; queries and classes out of an index. */
  { "And", DECODER | POST },
  { "Clip", DECODER },
  { "Floor", DECODER | POST },
  { "GatherElements", DECODER | POST },
  { "GatherND", DECODER },
  { "Less", DECODER | POST },
  { "Log", DECODER },
  { "Max", DECODER },
  { "Min", DECODER },
  { "Mod", DECODER | POST },
  { "Not", DECODER | POST },
  { "ReduceMax", DECODER | POST },
  { "TopK", DECODER | POST },
  { "Xor", DECODER | POST },
};

/* Attributes that say which of several functions an operator is. Absent ones have the accepted value by definition. */
static const struct {
  const gchar *op, *name;
  const gchar *texts[2]; /* accepted; NULL: it is a number */
  gint64 number;
} attributes[] = {
  { "GridSample", "mode", { "bilinear", "linear" }, 0 }, /* until opset 19, and later */
  { "GridSample", "padding_mode", { "zeros" }, 0 },
  { "GridSample", "align_corners", { NULL }, 0 },
  { "Gelu", "approximate", { "none" }, 0 },
  { "Resize", "mode", { "nearest" }, 0 },
  { "Pad", "mode", { "constant" }, 0 },
  { "TopK", "largest", { NULL }, 1 },
};

/* The row of parts[] that @name belongs to; the last takes all. */
static gsize
part_of (const gchar *name)
{
  gsize row = 0;
  while (!g_str_has_prefix (name, parts[row].scope))
    row++;
  return row;
}

/* The names of what is accepted in @part but not everywhere. Free with g_free(). */
static gchar *
list_operators (guint part)
{
  GString *names = g_string_new (NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (operators); i++)
    if (operators[i].parts & part)
      g_string_append_printf (names, ", %s", operators[i].op);
  return g_string_free (names, FALSE);
}

static gboolean
is_listed (const gchar *op, guint part)
{
  for (gsize i = 0; i < G_N_ELEMENTS (operators); i++)
    if (g_str_equal (operators[i].op, op))
      return (operators[i].parts & (part | ANYWHERE)) != 0;
  return FALSE;
}

static gboolean
check_operator (const DeimOnnxReader *reader, const DeimOnnxNode *node, const gchar *domain, GError **error)
{
  gsize row = part_of (node->name);
  guint part = parts[row].part;
  gboolean standard = !*domain || g_str_equal (domain, "ai.onnx");
  if (standard && is_listed (node->op, part))
    return TRUE;
  g_autofree gchar *full = standard ? g_strdup (node->op) : g_strconcat (domain, ".", node->op, NULL);
  g_autofree gchar *quoted = deim_quote (full, strlen (full)), *accepted = list_operators (part);
  g_autofree gchar *what =
      g_strdup_printf ("has the operator \"%s\", which is not accepted %s (accepted: arithmetic, shapes%s)", quoted,
                       parts[row].title, accepted);
  return deim_onnx_refuse_node (reader, error, node, what);
}

static gboolean
is_accepted (gsize row, const Deim__Onnx__Attribute *attribute)
{
  if (!attributes[row].texts[0])
    return attribute->has_i && attribute->i == attributes[row].number;
  for (gsize i = 0; attribute->has_s && i < G_N_ELEMENTS (attributes[row].texts) && attributes[row].texts[i]; i++) {
    const gchar *text = attributes[row].texts[i];
    if (attribute->s.len == strlen (text) && memcmp (attribute->s.data, text, attribute->s.len) == 0)
      return TRUE;
  }
  return FALSE;
}

static gboolean
check_attribute (const DeimOnnxReader *reader, const DeimOnnxNode *node, const Deim__Onnx__Attribute *attribute,
                 GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (attributes); i++) {
    if (!g_str_equal (attributes[i].op, node->op) || g_strcmp0 (attributes[i].name, attribute->name) != 0 ||
        is_accepted (i, attribute))
      continue;
    g_autofree gchar *has = attribute->has_s ? deim_quote ((const gchar *) attribute->s.data, attribute->s.len)
                                             : g_strdup_printf ("%" G_GINT64_FORMAT, attribute->i);
    g_autofree gchar *number = g_strdup_printf ("%" G_GINT64_FORMAT, attributes[i].number);
    g_autofree gchar *what =
        g_strdup_printf ("is a %s with %s \"%s\", of which only \"%s\" is accepted", node->op, attributes[i].name, has,
                         attributes[i].texts[0] ? attributes[i].texts[0] : number);
    return deim_onnx_refuse_node (reader, error, node, what);
  }
  return TRUE;
}

gboolean
deim_onnx_check_operators (const DeimOnnxReader *reader, GError **error)
{
  const Deim__Onnx__Graph *body = ((const Deim__Onnx__Model *) reader->graph->message)->graph;
  for (gsize i = 0; i < body->n_node; i++) {
    const Deim__Onnx__Node *message = body->node[i];
    const DeimOnnxNode node = { .name = message->name ? message->name : "",
                                .op = message->op_type ? message->op_type : "" };
    if (!check_operator (reader, &node, message->domain ? message->domain : "", error))
      return FALSE;
    for (gsize k = 0; k < message->n_attribute; k++)
      if (!check_attribute (reader, &node, message->attribute[k], error))
        return FALSE;
  }
  return TRUE;
}

gboolean
deim_onnx_check_selection (const DeimOnnxReader *reader, GError **error)
{
  for (guint i = 0; i < reader->graph->nodes->len; i++) {
    const DeimOnnxNode *node = &g_array_index (reader->graph->nodes, DeimOnnxNode, i);
    if (g_str_equal (node->op, "TopK") && deim_onnx_node_is_in (node->name, "/model/decoder"))
      return TRUE;
  }
  return deim_onnx_refuse (reader, error,
                           "there is no TopK in /model/decoder, by which every network of the family selects its "
                           "queries: this is no official export, or one that was changed afterwards");
}
