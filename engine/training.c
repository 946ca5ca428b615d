/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * training.c - a differentiated network, its parameters in one flat vector, and its optimiser.
 *
 *     state buffer   [ values | gradients ]  each: trained parameters by group, running averages, fixed ones
 */
#include "engine/training.h"

#include <math.h>
#include <string.h>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/executor.h"
#include "engine/graph/op.h"
#include "engine/graph/passes.h"
#include "engine/ops/ops.h"
#include "engine/optimiser.h"

#define MAX_OUTPUTS (3 * DEIM_MAX_LAYERS + 4)

/* A tensor of the graph: a parameter, or some rows of one. */
typedef struct {
  DeimTensor *tensor;
  DeimTensor *gradient; /* NULL: none */
  gsize first;          /* floats from the beginning of each vector */
  gsize row;            /* floats from the beginning of the parameter */
} Piece;

typedef struct {
  DeimParameter info;
  Piece pieces[2]; /* q and k, v of a packed projection are two */
  guint n_pieces;
} Parameter;

typedef struct {
  DeimTensor *tensor, *seed; /* seed: NULL where nothing flows back */
} Output;

struct _DeimTrainingSession {
  DeimDevice *device;
  DeimGpu *gpu;
  gboolean half;
  DeimTrainingOutputs io;
  GArray *parameters; /* of Parameter, in the order in which the network reads them */
  GHashTable *by_name;
  Output outputs[MAX_OUTPUTS];
  guint n_outputs;
  gsize count;   /* floats of a vector, */
  gsize trained; /* of which trained parameters, the first ones */
  DeimGpuBuffer state;
  DeimExecutor *executor;
  DeimRun *run;
  DeimOptimiser *optimiser;
};

/* --------------------------------------------------------------- parameters */

static Parameter *
get (const DeimTrainingSession *self, guint index)
{
  return &g_array_index (self->parameters, Parameter, index);
}

/* Adds a piece to its parameter, which may be new. */
static gboolean
add_piece (DeimTrainingSession *self, DeimTensor *tensor, DeimParameterKind kind, gint group, GError **error)
{
  gpointer known;
  guint index = self->parameters->len;
  if (g_hash_table_lookup_extended (self->by_name, tensor->param, NULL, &known)) {
    index = GPOINTER_TO_UINT (known);
  } else {
    Parameter fresh = { .info = { .name = tensor->param, .kind = kind, .group = group, .shape = tensor->shape } };
    fresh.info.shape.n = 0;
    g_array_append_val (self->parameters, fresh);
    g_hash_table_insert (self->by_name, tensor->param, GUINT_TO_POINTER (index));
  }
  Parameter *p = get (self, index);
  gsize size = deim_shape_size (tensor->shape);
  if (p->n_pieces == G_N_ELEMENTS (p->pieces)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
                 "parameter \"%s\" is used in more parts than training knows", tensor->param);
    return FALSE;
  }
  p->pieces[p->n_pieces++] =
      (Piece){ .tensor = tensor, .row = (gsize) tensor->first_row * (size / (gsize) tensor->shape.n) };
  p->info.shape.n += tensor->shape.n;
  p->info.size += size;
  return TRUE;
}

/* Lists plain parameters, and decides which are trained. */
static gboolean
list_parameters (DeimTrainingSession *self, DeimGraph *graph, const DeimTrainingOptions *options, GError **error)
{
  g_autoptr (GHashTable) running = g_hash_table_new (NULL, NULL);
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
    const DeimNode *node = deim_graph_get_node (graph, i);
    if (!deim_node_is (node, "batch_norm") || !node->attrs.norm.batch)
      continue;
    g_hash_table_add (running, node->in[3]);
    g_hash_table_add (running, node->in[4]);
  }
  for (guint i = 0; i < deim_graph_get_n_tensors (graph); i++) {
    DeimTensor *tensor = deim_graph_get_tensor (graph, i);
    if (tensor->kind != DEIM_TENSOR_PARAM || !tensor->plain)
      continue;
    gboolean averages = g_hash_table_contains (running, tensor);
    gint group = averages ? 0 : options->group ? options->group (tensor->param, options->group_data) : 0;
    if (group >= (gint) DEIM_MAX_GROUPS) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "parameter \"%s\" is of group %d: there are groups 0 to %d",
                   tensor->param, group, (gint) DEIM_MAX_GROUPS - 1);
      return FALSE;
    }
    tensor->trained = !averages && group >= 0;
    DeimParameterKind kind = averages    ? DEIM_PARAMETER_RUNNING
                             : group < 0 ? DEIM_PARAMETER_FIXED
                                         : DEIM_PARAMETER_TRAINED;
    if (!add_piece (self, tensor, kind, group, error))
      return FALSE;
  }
  return TRUE;
}

/* Where each parameter's gradient, or what its running average moves towards, comes from. */
static void
find_gradients (DeimTrainingSession *self, DeimGraph *graph)
{
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
    const DeimNode *node = deim_graph_get_node (graph, i);
    for (guint k = 0; k < 2 && deim_node_is (node, "batch_norm") && node->attrs.norm.batch; k++)
      node->in[3 + k]->gradient = node->out[1 + k];
  }
  for (guint i = 0; i < self->parameters->len; i++) {
    Parameter *p = get (self, i);
    for (guint k = 0; k < p->n_pieces; k++)
      p->pieces[k].gradient = p->info.kind == DEIM_PARAMETER_FIXED ? NULL : p->pieces[k].tensor->gradient;
  }
}

/* Lays parameters out by kind and group, and lists the ranges of each. */
static void
lay_out (DeimTrainingSession *self, GArray *ranges)
{
  gsize unit = deim_executor_alignment (self->gpu) / 4, at = 0;
  const gint classes = (gint) DEIM_MAX_GROUPS + 2;
  for (gint class = 0; class < classes; class ++) {
    gsize first = at;
    for (guint i = 0; i < self->parameters->len; i++) {
      Parameter *p = get (self, i);
      gint mine = p->info.kind == DEIM_PARAMETER_TRAINED   ? p->info.group
                  : p->info.kind == DEIM_PARAMETER_RUNNING ? classes - 2
                                                           : classes - 1;
      for (guint k = 0; k < p->n_pieces && mine == class; k++) {
        p->pieces[k].first = at;
        at += (deim_shape_size (p->pieces[k].tensor->shape) + unit - 1) / unit * unit;
      }
    }
    DeimUpdateRange range = { first, at - first, class == classes - 2 ? DEIM_RUNNING_AVERAGES : class };
    if (range.count && class < classes - 1)
      g_array_append_val (ranges, range);
    if (class < classes - 2)
      self->trained = at;
  }
  self->count = at;
}

static GArray *
list_residents (const DeimTrainingSession *self)
{
  GArray *list = g_array_new (FALSE, FALSE, sizeof (DeimResident));
  for (guint i = 0; i < self->parameters->len; i++) {
    const Parameter *p = get (self, i);
    for (guint k = 0; k < p->n_pieces; k++) {
      const Piece *piece = &p->pieces[k];
      DeimResident value = { piece->tensor, piece->first * 4 };
      DeimResident gradient = { piece->gradient, (self->count + piece->first) * 4 };
      g_array_append_val (list, value);
      if (piece->gradient)
        g_array_append_val (list, gradient);
    }
  }
  return list;
}

/* ------------------------------------------------------------------- outputs */

static void
add_output (DeimTrainingSession *self, DeimTensor *tensor)
{
  for (guint i = 0; tensor && i < self->n_outputs; i++)
    if (self->outputs[i].tensor == tensor)
      return;
  if (tensor)
    self->outputs[self->n_outputs++].tensor = tensor;
}

static void
add_predictions (DeimTrainingSession *self, const DeimPredictionTensors *p)
{
  add_output (self, p->logits);
  add_output (self, p->boxes);
  add_output (self, p->corners);
}

static void
list_outputs (DeimTrainingSession *self)
{
  add_predictions (self, &self->io.encoder);
  add_predictions (self, &self->io.pre);
  for (gint i = 0; i < self->io.n_layers; i++)
    add_predictions (self, &self->io.layers[i]);
}

static void
mark_outputs (DeimTrainingSession *self, DeimGraph *graph)
{
  deim_graph_clear_outputs (graph);
  for (guint i = 0; i < self->n_outputs; i++)
    deim_graph_mark_output (graph, self->outputs[i].tensor);
  deim_graph_mark_output (graph, self->io.tokens);
  deim_graph_mark_output (graph, self->io.refs);
}

static gboolean
differentiate (DeimTrainingSession *self, DeimGraph *graph, GError **error)
{
  DeimTensor *tensors[MAX_OUTPUTS], *seeds[MAX_OUTPUTS];
  for (guint i = 0; i < self->n_outputs; i++)
    tensors[i] = self->outputs[i].tensor;
  if (!deim_graph_differentiate (graph, &deim_accumulation, tensors, self->n_outputs, seeds, error))
    return FALSE;
  for (guint i = 0; i < self->n_outputs; i++)
    self->outputs[i].seed = seeds[i];
  mark_outputs (self, graph); /* not the gradients, which are resident */
  return TRUE;
}

/* -------------------------------------------------------------------- object */

static gboolean
upload_values (DeimTrainingSession *self, GError **error)
{
  g_autofree gfloat *values = g_new0 (gfloat, 2 * self->count);
  for (guint i = 0; i < self->parameters->len; i++) {
    const Parameter *p = get (self, i);
    for (guint k = 0; k < p->n_pieces; k++)
      memcpy (values + p->pieces[k].first, p->pieces[k].tensor->data,
              deim_shape_size (p->pieces[k].tensor->shape) * sizeof (gfloat));
  }
  return deim_gpu_buffer_upload (&self->state, self->gpu, 0, values, 2 * self->count * 4, error) &&
         deim_gpu_buffer_upload (deim_optimiser_get (self->optimiser, DEIM_VECTOR_AVERAGE), self->gpu, 0, values,
                                 self->count * 4, error);
}

/* Seeds that nobody writes are zero, and so is everything else that comes in. */
static void
clear_inputs (DeimTrainingSession *self)
{
  DeimGraph *graph = deim_executor_get_graph (self->executor);
  for (guint i = 0; i < deim_graph_get_n_tensors (graph); i++) {
    const DeimTensor *tensor = deim_graph_get_tensor (graph, i);
    if (tensor->kind != DEIM_TENSOR_INPUT)
      continue;
    g_autofree gfloat *zeros = g_new0 (gfloat, deim_shape_size (tensor->shape));
    deim_run_write (self->run, tensor, zeros);
  }
}

/* Takes @graph. */
static gboolean
prepare (DeimTrainingSession *self, DeimGraph *graph, const DeimTrainingOptions *options, GError **error)
{
  g_autoptr (DeimGraph) owned = graph;
  g_autoptr (GArray) ranges = g_array_new (FALSE, FALSE, sizeof (DeimUpdateRange));
  list_outputs (self);
  mark_outputs (self, graph);
  deim_graph_fuse_training (graph);
  if (!list_parameters (self, graph, options, error) || !differentiate (self, graph, error))
    return FALSE;
  find_gradients (self, graph);
  lay_out (self, ranges);
  g_autoptr (GArray) residents = list_residents (self);
  if (!deim_gpu_buffer_init (&self->state, self->gpu, DEIM_MEMORY_DEVICE, 2 * self->count * 4, error))
    return FALSE;
  self->executor =
      deim_executor_new_training (self->gpu, g_steal_pointer (&owned), options->half, &self->state,
                                  (DeimResident *) residents->data, residents->len, &options->share, error);
  if (!self->executor)
    return FALSE;
  DeimRunFlags flags = DEIM_RUN_HOST_INPUTS | (options->timestamps ? DEIM_RUN_TIMESTAMPS : 0);
  self->run = deim_run_new (self->executor, flags, error);
  if (!self->run)
    return FALSE;
  self->optimiser = deim_optimiser_new (self->gpu, &self->state, 0, self->count * 4, self->count,
                                        (DeimUpdateRange *) ranges->data, ranges->len, error);
  if (!self->optimiser || !upload_values (self, error))
    return FALSE;
  clear_inputs (self);
  return TRUE;
}

DeimTrainingSession *
deim_training_new (DeimDevice *device, const DeimArch *arch, const DeimParamSource *source,
                   const DeimTrainingOptions *options, GError **error)
{
  DeimPrecision precision;
  if (!deim_device_check (device, options->half ? DEIM_PRECISION_FP16 : DEIM_PRECISION_FP32, &precision, error))
    return NULL;
  if (options->half && precision != DEIM_PRECISION_FP16) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE,
                 "%s computes wrongly with numbers stored as fp16; train with fp32 activations (deim train without "
                 "--half)",
                 deim_device_get_name (device));
    return NULL;
  }
  g_autoptr (DeimTrainingSession) self = g_new0 (DeimTrainingSession, 1);
  self->device = deim_device_ref (device);
  self->gpu = deim_device_get_gpu (device);
  self->half = options->half;
  self->parameters = g_array_new (FALSE, TRUE, sizeof (Parameter));
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  DeimGraph *graph = deim_network_build_training (arch, source, options->batch, options->height, options->width,
                                                  options->denoising, options->freeze_norms, &self->io, error);
  if (!graph || !prepare (self, graph, options, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
deim_training_free (DeimTrainingSession *self)
{
  if (!self)
    return;
  deim_optimiser_free (self->optimiser);
  deim_run_free (self->run);
  deim_executor_free (self->executor);
  deim_gpu_buffer_finish (&self->state, self->gpu);
  g_hash_table_unref (self->by_name);
  g_array_unref (self->parameters);
  deim_device_unref (self->device);
  g_free (self);
}

gboolean
deim_training_is_half (const DeimTrainingSession *self)
{
  return self->half;
}

const DeimTrainingOutputs *
deim_training_get_io (const DeimTrainingSession *self)
{
  return &self->io;
}

/* -------------------------------------------------------------------- a step */

void
deim_training_write (DeimTrainingSession *self, const DeimTensor *input, gconstpointer dense)
{
  deim_run_write (self->run, input, dense);
}

gboolean
deim_training_forward (DeimTrainingSession *self, GError **error)
{
  return deim_run_execute_phase (self->run, 0, error);
}

void
deim_training_read (DeimTrainingSession *self, const DeimTensor *output, gpointer dense)
{
  deim_run_read (self->run, output, dense);
}

void
deim_training_write_seed (DeimTrainingSession *self, const DeimTensor *output, const gfloat *dense)
{
  for (guint i = 0; i < self->n_outputs; i++)
    if (self->outputs[i].tensor == output && self->outputs[i].seed) {
      deim_run_write (self->run, self->outputs[i].seed, dense);
      return;
    }
  g_return_if_reached ();
}

gboolean
deim_training_backward (DeimTrainingSession *self, GError **error)
{
  return deim_run_execute_phase (self->run, 1, error);
}

gboolean
deim_training_update (DeimTrainingSession *self, const DeimUpdate *update, gdouble *ret_norm, GError **error)
{
  return deim_optimiser_run (self->optimiser, update, ret_norm, error);
}

/* --------------------------------------------------------- parameters, state */

guint
deim_training_get_n_parameters (const DeimTrainingSession *self)
{
  return self->parameters->len;
}

const DeimParameter *
deim_training_get_parameter (const DeimTrainingSession *self, guint index)
{
  return &get (self, index)->info;
}

gint
deim_training_find_parameter (const DeimTrainingSession *self, const gchar *name)
{
  gpointer index;
  return g_hash_table_lookup_extended (self->by_name, name, NULL, &index) ? (gint) GPOINTER_TO_UINT (index) : -1;
}

/* The buffer of a vector, and where in it the vector begins. */
static DeimGpuBuffer *
find_vector (DeimTrainingSession *self, const Parameter *p, DeimState state, gsize *ret_first)
{
  static const DeimVector vectors[DEIM_STATE_LAST] = { [DEIM_STATE_FIRST_MOMENT] = DEIM_VECTOR_FIRST_MOMENT,
                                                       [DEIM_STATE_SECOND_MOMENT] = DEIM_VECTOR_SECOND_MOMENT,
                                                       [DEIM_STATE_AVERAGE] = DEIM_VECTOR_AVERAGE };
  *ret_first = state == DEIM_STATE_GRADIENT ? self->count : 0;
  if (state == DEIM_STATE_AVERAGE && p->info.kind == DEIM_PARAMETER_FIXED)
    state = DEIM_STATE_VALUE; /* it never moves */
  if (state == DEIM_STATE_VALUE || state == DEIM_STATE_GRADIENT)
    return &self->state;
  return deim_optimiser_get (self->optimiser, vectors[state]);
}

gboolean
deim_training_get_state (DeimTrainingSession *self, guint index, DeimState state, gfloat *ret_values, GError **error)
{
  const Parameter *p = get (self, index);
  gsize first;
  DeimGpuBuffer *buffer = find_vector (self, p, state, &first);
  for (guint k = 0; k < p->n_pieces; k++)
    if (!deim_gpu_buffer_download (buffer, self->gpu, (first + p->pieces[k].first) * 4, ret_values + p->pieces[k].row,
                                   deim_shape_size (p->pieces[k].tensor->shape) * 4, error))
      return FALSE;
  return TRUE;
}

gboolean
deim_training_set_state (DeimTrainingSession *self, guint index, DeimState state, const gfloat *values, GError **error)
{
  const Parameter *p = get (self, index);
  gsize first;
  DeimGpuBuffer *buffer = find_vector (self, p, state, &first);
  for (guint k = 0; k < p->n_pieces; k++)
    if (!deim_gpu_buffer_upload (buffer, self->gpu, (first + p->pieces[k].first) * 4, values + p->pieces[k].row,
                                 deim_shape_size (p->pieces[k].tensor->shape) * 4, error))
      return FALSE;
  return TRUE;
}

gsize
deim_training_get_gradient_size (const DeimTrainingSession *self)
{
  return self->trained;
}

gboolean
deim_training_get_gradients (DeimTrainingSession *self, gfloat *ret_values, GError **error)
{
  return deim_gpu_buffer_download (&self->state, self->gpu, self->count * 4, ret_values, self->trained * 4, error);
}

gboolean
deim_training_set_gradients (DeimTrainingSession *self, const gfloat *values, GError **error)
{
  return deim_gpu_buffer_upload (&self->state, self->gpu, self->count * 4, values, self->trained * 4, error);
}

/* --------------------------------------------------------------- for people */

static gboolean
all_finite (const gfloat *values, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (!isfinite (values[i]))
      return FALSE;
  return TRUE;
}

gchar *
deim_training_find_bad (DeimTrainingSession *self, GError **error)
{
  for (guint i = 0; i < self->n_outputs; i++) {
    const DeimTensor *tensor = self->outputs[i].tensor;
    g_autofree gfloat *values = g_new (gfloat, deim_shape_size (tensor->shape));
    deim_run_read (self->run, tensor, values);
    if (!all_finite (values, deim_shape_size (tensor->shape)))
      return g_strdup (tensor->name ? tensor->name : tensor->producer->name);
  }
  g_autofree gfloat *gradients = g_new (gfloat, self->count);
  if (!deim_gpu_buffer_download (&self->state, self->gpu, self->count * 4, gradients, self->count * 4, error))
    return NULL;
  for (guint i = self->parameters->len; i-- > 0;) { /* gradients come from the end */
    const Parameter *p = get (self, i);
    for (guint k = 0; k < p->n_pieces; k++)
      if (p->pieces[k].gradient &&
          !all_finite (gradients + p->pieces[k].first, deim_shape_size (p->pieces[k].tensor->shape)))
        return g_strconcat ("gradient of ", p->info.name, NULL);
  }
  return NULL;
}

GArray *
deim_training_get_profile (DeimTrainingSession *self)
{
  guint n = deim_executor_get_n_dispatches (self->executor);
  GArray *profile = g_array_new (FALSE, TRUE, sizeof (DeimProfileEntry));
  g_autofree gdouble *times = g_new0 (gdouble, n);
  if (!deim_run_get_times (self->run, times))
    return profile;
  g_array_set_size (profile, n);
  for (guint i = 0; i < n; i++) {
    DeimProfileEntry *entry = &g_array_index (profile, DeimProfileEntry, i);
    deim_executor_describe_dispatch (self->executor, i, entry);
    entry->ms = times[i];
  }
  return profile;
}
