/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * graph.c - the builder: lists of nodes and tensors, scopes, taps, parameters
 * looked up by official name, and the first error, which sticks.
 */
#include "engine/graph/graph-private.h"
#include "engine/error.h"
#include "engine/graph/op.h"
#include "engine/graph/shape.h"

static void
tensor_free (gpointer data)
{
  DeimTensor *tensor = data;
  g_free (tensor->name);
  g_free (tensor->param);
  g_free (tensor->data);
  g_free (tensor);
}

void
deim_node_free (DeimNode *node)
{
  if (!node)
    return;
  g_free (node->name);
  g_free (node);
}

static void
node_free (gpointer data)
{
  deim_node_free (data);
}

DeimGraph *
deim_graph_new (const DeimParamSource *source)
{
  DeimGraph *graph = g_new0 (DeimGraph, 1);
  if (source)
    graph->source = *source;
  graph->nodes = g_ptr_array_new_with_free_func (node_free);
  graph->tensors = g_ptr_array_new_with_free_func (tensor_free);
  graph->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  graph->params = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  graph->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  graph->outputs = g_hash_table_new (NULL, NULL);
  graph->taps = g_hash_table_new (NULL, NULL);
  graph->scope = g_string_new (NULL);
  graph->scope_lengths = g_array_new (FALSE, FALSE, sizeof (gsize));
  graph->stage = "";
  return graph;
}

void
deim_graph_free (DeimGraph *graph)
{
  if (!graph)
    return;
  g_ptr_array_unref (graph->nodes);
  g_ptr_array_unref (graph->tensors);
  g_hash_table_unref (graph->names);
  g_hash_table_unref (graph->params);
  g_hash_table_unref (graph->known);
  g_hash_table_unref (graph->outputs);
  g_hash_table_unref (graph->taps);
  g_string_free (graph->scope, TRUE);
  g_array_unref (graph->scope_lengths);
  g_free (graph->error);
  g_free (graph);
}

/* ------------------------------------------------------------------- lists */

guint
deim_graph_get_n_nodes (const DeimGraph *graph)
{
  return graph->nodes->len;
}

DeimNode *
deim_graph_get_node (const DeimGraph *graph, guint index)
{
  return index < graph->nodes->len ? g_ptr_array_index (graph->nodes, index) : NULL;
}

guint
deim_graph_get_n_tensors (const DeimGraph *graph)
{
  return graph->tensors->len;
}

DeimTensor *
deim_graph_get_tensor (const DeimGraph *graph, guint id)
{
  return id < graph->tensors->len ? g_ptr_array_index (graph->tensors, id) : NULL;
}

DeimTensor *
deim_graph_find (const DeimGraph *graph, const gchar *name)
{
  return g_hash_table_lookup (graph->names, name);
}

void
deim_graph_mark_output (DeimGraph *graph, DeimTensor *tensor)
{
  if (tensor)
    g_hash_table_add (graph->outputs, tensor);
}

gboolean
deim_graph_is_output (const DeimGraph *graph, const DeimTensor *tensor)
{
  return g_hash_table_contains (graph->outputs, tensor);
}

void
deim_graph_clear_outputs (DeimGraph *graph)
{
  g_hash_table_remove_all (graph->outputs);
}

gboolean
deim_graph_is_tap (const DeimGraph *graph, const DeimTensor *tensor)
{
  return g_hash_table_contains (graph->taps, tensor);
}

void
deim_graph_renumber (DeimGraph *graph)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    ((DeimNode *) g_ptr_array_index (graph->nodes, i))->id = i;
}

DeimTensor *
deim_graph_add_tensor (DeimGraph *graph, DeimTensorKind kind, DeimType type, DeimShape shape, const gchar *name,
                       gfloat *data)
{
  DeimTensor *tensor = g_new0 (DeimTensor, 1);
  tensor->name = g_strdup (name);
  tensor->kind = kind;
  tensor->type = type;
  tensor->shape = shape;
  tensor->data = data;
  tensor->id = graph->tensors->len;
  g_ptr_array_add (graph->tensors, tensor);
  if (name)
    g_hash_table_replace (graph->names, g_strdup (name), tensor);
  return tensor;
}

/* ------------------------------------------------------------------ errors */

void
deim_graph_fail (DeimGraph *graph, const gchar *format, ...)
{
  if (graph->error)
    return;
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  if (graph->scope->len)
    graph->error = g_strdup_printf ("%s: %s", graph->scope->str, text);
  else
    graph->error = g_steal_pointer (&text);
}

gboolean
deim_graph_has_failed (const DeimGraph *graph)
{
  return graph->error != NULL;
}

gboolean
deim_graph_finish (DeimGraph *graph, GError **error)
{
  if (graph->scope_lengths->len)
    deim_graph_fail (graph, "this scope was pushed and never popped; the network description is at fault");
  if (!graph->error)
    return TRUE;
  g_set_error_literal (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE, graph->error);
  return FALSE;
}

/* The product of four positive dimensions that an int can index; a checkpoint may claim anything. */
static gboolean
shape_is_legal (DeimShape s)
{
  if (s.n < 1 || s.c < 1 || s.h < 1 || s.w < 1)
    return FALSE;
  guint64 size = (guint64) s.n * (guint64) s.c; /* < 2^62 */
  if (size > G_MAXINT)
    return FALSE;
  size *= (guint64) s.h;
  if (size > G_MAXINT)
    return FALSE;
  return size * (guint64) s.w <= G_MAXINT;
}

/* ------------------------------------------------------------------ scopes */

void
deim_graph_push_scope (DeimGraph *graph, const gchar *format, ...)
{
  if (!format) {
    deim_graph_pop_scope (graph);
    return;
  }
  gsize length = graph->scope->len;
  g_array_append_val (graph->scope_lengths, length);
  va_list args;
  va_start (args, format);
  if (length)
    g_string_append_c (graph->scope, '.');
  g_string_append_vprintf (graph->scope, format, args);
  va_end (args);
}

void
deim_graph_pop_scope (DeimGraph *graph)
{
  guint depth = graph->scope_lengths->len;
  if (!depth) {
    deim_graph_fail (graph, "a scope was popped that was never pushed; the network description is at fault");
    return;
  }
  g_string_truncate (graph->scope, g_array_index (graph->scope_lengths, gsize, depth - 1));
  g_array_set_size (graph->scope_lengths, depth - 1);
}

void
deim_graph_set_stage (DeimGraph *graph, const gchar *stage)
{
  graph->stage = stage;
}

void
deim_graph_set_training (DeimGraph *graph, DeimTrainMode training)
{
  graph->training = training;
}

DeimTrainMode
deim_graph_get_training (const DeimGraph *graph)
{
  return graph->training;
}

/* "scope.suffix"; either part may be empty. */
static gchar *
absolute_name (const DeimGraph *graph, const gchar *suffix)
{
  if (!suffix || !*suffix)
    return g_strdup (graph->scope->str);
  if (!graph->scope->len)
    return g_strdup (suffix);
  return g_strconcat (graph->scope->str, ".", suffix, NULL);
}

DeimTensor *
deim_graph_tap (DeimGraph *graph, DeimTensor *tensor, const gchar *suffix)
{
  if (!tensor)
    return NULL;
  g_autofree gchar *name = absolute_name (graph, suffix);
  /* An identity module taps what already has a name: both names find it. Inputs and parameters keep their own. */
  if (tensor->kind == DEIM_TENSOR_ACTIVATION) {
    g_free (tensor->name);
    tensor->name = g_strdup (name);
  }
  g_hash_table_replace (graph->names, g_steal_pointer (&name), tensor);
  g_hash_table_add (graph->taps, tensor);
  return tensor;
}

/* ------------------------------------------------- parameters and constants */

/* The values and the shape of absolute @name, which becomes known; NULL after an error. */
static gfloat *
take_param (DeimGraph *graph, const gchar *name, DeimShape wanted, DeimShape *ret_shape)
{
  if (graph->error)
    return NULL;
  DeimShape shape = wanted;
  gfloat *data = graph->source.lookup ? graph->source.lookup (graph->source.data, name, &shape) : NULL;
  if (!data) {
    deim_graph_fail (graph,
                     "the checkpoint has no parameter \"%s\", which this architecture needs; name another "
                     "architecture, or take a file that is complete",
                     name);
    return NULL;
  }
  g_hash_table_add (graph->known, g_strdup (name));
  if (!shape_is_legal (shape)) {
    deim_graph_fail (graph, "parameter \"%s\" has the unusable shape " DEIM_SHAPE_FORMAT "; the file is damaged", name,
                     DEIM_SHAPE_ARGS (shape));
    g_free (data);
    return NULL;
  }
  *ret_shape = shape;
  return data;
}

/* A new tensor, called @key, of rows @first_row and following of parameter @name. @data is taken. */
static DeimTensor *
add_param (DeimGraph *graph, const gchar *key, const gchar *name, gint first_row, DeimShape shape, gfloat *data)
{
  DeimTensor *tensor = deim_graph_add_tensor (graph, DEIM_TENSOR_PARAM, DEIM_TYPE_FLOAT, shape, key, data);
  tensor->param = g_strdup (name);
  tensor->first_row = first_row;
  tensor->plain = tensor->trained = graph->training != DEIM_TRAIN_NOTHING;
  g_hash_table_replace (graph->params, g_strdup (key), tensor);
  return tensor;
}

static DeimTensor *
param (DeimGraph *graph, const gchar *suffix, DeimShape wanted)
{
  g_autofree gchar *name = absolute_name (graph, suffix);
  DeimTensor *tensor = g_hash_table_lookup (graph->params, name);
  if (tensor || graph->error)
    return graph->error ? NULL : tensor;
  DeimShape shape;
  gfloat *data = take_param (graph, name, wanted, &shape);
  return data ? add_param (graph, name, name, 0, shape, data) : NULL;
}

DeimTensor *
deim_param (DeimGraph *graph, const gchar *suffix)
{
  return param (graph, suffix, (DeimShape){ 0 });
}

DeimTensor *
deim_param_shaped (DeimGraph *graph, const gchar *suffix, DeimShape shape)
{
  DeimTensor *tensor = param (graph, suffix, shape);
  if (!tensor || deim_shape_equal (tensor->shape, shape))
    return tensor;
  deim_graph_fail (graph,
                   "parameter \"%s\" has the shape " DEIM_SHAPE_FORMAT " and needs " DEIM_SHAPE_FORMAT
                   " here: the file is damaged, or of another network",
                   tensor->name, DEIM_SHAPE_ARGS (tensor->shape), DEIM_SHAPE_ARGS (shape));
  return NULL;
}

DeimTensor *
deim_param_rows (DeimGraph *graph, const gchar *suffix, gint start, DeimShape rows)
{
  g_autofree gchar *name = absolute_name (graph, suffix);
  g_autofree gchar *key = g_strdup_printf ("%s[%d:%d]", name, start, start + rows.n);
  DeimTensor *tensor = g_hash_table_lookup (graph->params, key);
  if (tensor || graph->error)
    return graph->error ? NULL : tensor;
  DeimShape shape;
  g_autofree gfloat *data = take_param (graph, name, (DeimShape){ start + rows.n, rows.c, rows.h, rows.w }, &shape);
  if (!data)
    return NULL;
  if (start < 0 || rows.n < 1 || start > shape.n - rows.n) {
    deim_graph_fail (graph, "parameter \"%s\" has %d rows; rows %d to %d are needed here", name, shape.n, start,
                     start + rows.n - 1);
    return NULL;
  }
  if (!deim_shape_equal (rows, (DeimShape){ rows.n, shape.c, shape.h, shape.w })) {
    deim_graph_fail (graph,
                     "parameter \"%s\" has the shape " DEIM_SHAPE_FORMAT " and rows of " DEIM_SHAPE_FORMAT
                     " are needed here: the file is damaged, or of another network",
                     name, DEIM_SHAPE_ARGS (shape), DEIM_SHAPE_ARGS (((DeimShape){ 1, rows.c, rows.h, rows.w })));
    return NULL;
  }
  gsize row = deim_shape_size (rows) / (gsize) rows.n;
  gfloat *values = g_memdup2 (data + (gsize) start * row, (gsize) rows.n * row * sizeof (gfloat));
  return add_param (graph, key, name, start, rows, values);
}

gboolean
deim_has_param (DeimGraph *graph, const gchar *suffix)
{
  g_autofree gchar *name = absolute_name (graph, suffix);
  if (g_hash_table_contains (graph->params, name))
    return TRUE;
  DeimShape shape;
  g_autofree gfloat *data = graph->source.lookup ? graph->source.lookup (graph->source.data, name, &shape) : NULL;
  return data != NULL;
}

void
deim_param_ignore (DeimGraph *graph, const gchar *suffix)
{
  g_hash_table_add (graph->known, absolute_name (graph, suffix));
}

gboolean
deim_graph_param_is_known (DeimGraph *graph, const gchar *name)
{
  return g_hash_table_contains (graph->known, name);
}

static DeimTensor *
add_input (DeimGraph *graph, const gchar *name, DeimShape shape, DeimType type)
{
  if (graph->error)
    return NULL;
  if (!shape_is_legal (shape)) {
    deim_graph_fail (graph, "input \"%s\" cannot have the shape " DEIM_SHAPE_FORMAT, name, DEIM_SHAPE_ARGS (shape));
    return NULL;
  }
  return deim_graph_add_tensor (graph, DEIM_TENSOR_INPUT, type, shape, name, NULL);
}

DeimTensor *
deim_input (DeimGraph *graph, const gchar *name, DeimShape shape)
{
  return add_input (graph, name, shape, DEIM_TYPE_FLOAT);
}

DeimTensor *
deim_input_int (DeimGraph *graph, const gchar *name, DeimShape shape)
{
  return add_input (graph, name, shape, DEIM_TYPE_INT);
}

static DeimTensor *
add_const (DeimGraph *graph, const gchar *name, DeimShape shape, gconstpointer data, DeimType type)
{
  if (graph->error)
    return NULL;
  if (!shape_is_legal (shape)) {
    deim_graph_fail (graph, "constant \"%s\" cannot have the shape " DEIM_SHAPE_FORMAT, name, DEIM_SHAPE_ARGS (shape));
    return NULL;
  }
  gfloat *copy = g_memdup2 (data, deim_shape_size (shape) * sizeof (gfloat)); /* int32 has as many bytes */
  return deim_graph_add_tensor (graph, DEIM_TENSOR_CONST, type, shape, name, copy);
}

DeimTensor *
deim_const (DeimGraph *graph, const gchar *name, DeimShape shape, const gfloat *data)
{
  return add_const (graph, name, shape, data, DEIM_TYPE_FLOAT);
}

DeimTensor *
deim_const_int (DeimGraph *graph, const gchar *name, DeimShape shape, const gint32 *data)
{
  return add_const (graph, name, shape, data, DEIM_TYPE_INT);
}

/* ------------------------------------------------------------------- nodes */

DeimNode *
deim_graph_append (DeimGraph *graph, const DeimOp *op, DeimTensor *const *in, guint n_in, DeimShape shape,
                   DeimType type)
{
  if (graph->error)
    return NULL;
  if (!n_in || n_in > DEIM_MAX_INPUTS || !in[0]) {
    deim_graph_fail (graph, "%s: %u inputs, of which the first must be there and at most %d can be", op->name, n_in,
                     DEIM_MAX_INPUTS);
    return NULL;
  }
  if (!shape_is_legal (shape)) {
    deim_graph_fail (graph,
                     "%s: the result would have the shape " DEIM_SHAPE_FORMAT " from an input of " DEIM_SHAPE_FORMAT
                     "; the input size or the architecture does not fit",
                     op->name, DEIM_SHAPE_ARGS (shape), DEIM_SHAPE_ARGS (in[0]->shape));
    return NULL;
  }
  DeimNode *node = g_new0 (DeimNode, 1);
  node->op = op;
  node->name = g_strdup (graph->scope->len ? graph->scope->str : op->name);
  node->stage = graph->stage;
  node->backward = graph->backward;
  for (guint i = 0; i < n_in; i++)
    node->in[i] = in[i];
  node->n_in = n_in;
  node->out[0] = deim_graph_add_tensor (graph, DEIM_TENSOR_ACTIVATION, type, shape, NULL, NULL);
  node->out[0]->producer = node;
  node->n_out = 1;
  node->id = graph->nodes->len;
  g_ptr_array_add (graph->nodes, node);
  return node;
}

DeimTensor *
deim_graph_append_output (DeimGraph *graph, DeimNode *node, DeimShape shape, DeimType type)
{
  if (!node || graph->error)
    return NULL;
  g_return_val_if_fail (node->n_out < DEIM_MAX_OUTPUTS, NULL);
  DeimTensor *tensor = deim_graph_add_tensor (graph, DEIM_TENSOR_ACTIVATION, type, shape, NULL, NULL);
  tensor->producer = node;
  node->out[node->n_out++] = tensor;
  return tensor;
}
