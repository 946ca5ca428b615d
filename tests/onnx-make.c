/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "onnx-make.h"

#include <string.h>

static void
make_varint (GByteArray *out, guint64 value)
{
  do {
    guint8 byte = (guint8) ((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    g_byte_array_append (out, &byte, 1);
    value >>= 7;
  } while (value);
}

void
make_number (GByteArray *out, guint field, guint64 value)
{
  make_varint (out, field << 3);
  make_varint (out, value);
}

void
make_field (GByteArray *out, guint field, gconstpointer data, gsize size)
{
  make_varint (out, field << 3 | 2);
  make_varint (out, size);
  g_byte_array_append (out, data, (guint) size);
}

static void
make_text (GByteArray *out, guint field, const gchar *text)
{
  make_field (out, field, text, strlen (text));
}

/* @message (transfer full) as a field. */
static void
make_message (GByteArray *out, guint field, GByteArray *message)
{
  make_field (out, field, message->data, message->len);
  g_byte_array_unref (message);
}

void
make_onnx_tensor (GByteArray *graph, const gchar *name, guint n_dims, const gint64 *dims, const gfloat *data)
{
  GByteArray *tensor = g_byte_array_new ();
  gsize size = sizeof (gfloat);
  for (guint i = 0; i < n_dims; i++) {
    make_number (tensor, 1, (guint64) dims[i]);
    size *= (gsize) dims[i];
  }
  make_number (tensor, 2, 1); /* float32 */
  make_text (tensor, 8, name);
  make_field (tensor, 9, data, size);
  make_message (graph, 5, tensor);
}

void
make_onnx_int (GByteArray *graph, const gchar *name, gint64 value)
{
  GByteArray *tensor = g_byte_array_new ();
  make_number (tensor, 1, 1);
  make_number (tensor, 2, 7); /* int64 */
  make_text (tensor, 8, name);
  make_field (tensor, 9, &value, sizeof value);
  make_message (graph, 5, tensor);
}

void
make_onnx_node (GByteArray *graph, const gchar *op, const gchar *name, const gchar *output, ...)
{
  GByteArray *node = g_byte_array_new ();
  va_list inputs;
  va_start (inputs, output);
  for (const gchar *input; (input = va_arg (inputs, const gchar *));)
    make_text (node, 1, input);
  va_end (inputs);
  make_text (node, 2, output);
  make_text (node, 3, name);
  make_text (node, 4, op);
  make_message (graph, 1, node);
}

void
make_onnx_odd_node (GByteArray *graph, const gchar *op, const gchar *name, const gchar *domain, const gchar *attribute,
                    const gchar *text, gint64 number)
{
  GByteArray *node = g_byte_array_new (), *field = g_byte_array_new ();
  make_text (field, 1, attribute);
  if (text)
    make_text (field, 4, text);
  else
    make_number (field, 3, (guint64) number);
  make_text (node, 3, name);
  make_text (node, 4, op);
  make_message (node, 5, field);
  make_text (node, 7, domain);
  make_message (graph, 1, node);
}

GBytes *
make_onnx (GByteArray *graph)
{
  GByteArray *model = g_byte_array_new ();
  make_number (model, 1, 8);
  make_text (model, 2, "pytorch");
  make_message (model, 7, graph);
  return g_byte_array_free_to_bytes (model);
}

GByteArray *
make_small_onnx (void)
{
  static const gfloat values[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
  GByteArray *graph = g_byte_array_new ();
  make_onnx_node (graph, "Conv", "/model/backbone/stem/stem1/conv/Conv", "c", "images", "onnx::Conv_1", "onnx::Conv_2",
                  NULL);
  make_onnx_node (graph, "MatMul", "/model/decoder/enc_score_head/MatMul", "m", "c", "onnx::MatMul_3", NULL);
  make_onnx_node (graph, "Add", "/model/decoder/enc_score_head/Add", "s", "model.decoder.enc_score_head.bias", "m",
                  NULL);
  for (guint i = 0; i < 3; i++) {
    g_autofree gchar *weight = g_strdup_printf ("onnx::MatMul_1%u", i), *bias = g_strdup_printf ("onnx::Add_1%u", i);
    g_autofree gchar *out = g_strdup_printf ("q%u", i), *sum = g_strdup_printf ("p%u", i);
    make_onnx_node (graph, "MatMul", "/model/decoder/decoder/layers.0/self_attn/MatMul", out, "s", weight, NULL);
    make_onnx_node (graph, "Add", "/model/decoder/decoder/layers.0/self_attn/Add", sum, bias, out, NULL);
    make_onnx_tensor (graph, weight, 2, (gint64[]){ 2, 2 }, values + i);
    make_onnx_tensor (graph, bias, 1, (gint64[]){ 2 }, values + i);
  }
  make_onnx_node (graph, "TopK", "/model/decoder/TopK", "top", "s", "k", NULL);
  make_onnx_int (graph, "k", 300);
  make_onnx_tensor (graph, "onnx::Conv_1", 4, (gint64[]){ 2, 3, 1, 2 }, values);
  make_onnx_tensor (graph, "onnx::Conv_2", 1, (gint64[]){ 2 }, values + 3);
  make_onnx_tensor (graph, "onnx::MatMul_3", 2, (gint64[]){ 2, 3 }, values);
  make_onnx_tensor (graph, "model.decoder.enc_score_head.bias", 1, (gint64[]){ 3 }, values);
  return graph;
}
