/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* executor.c - from a graph to what every run of it shares: plan, pipelines, weights. */
#include "executor-private.h"

#include <string.h>

#include "engine/error.h"
#include "engine/graph/op.h"
#include "engine/graph/passes.h"
#include "engine/graph/plan.h"
#include "engine/ops/op.h"

/* -------------------------------------------------------------- dispatches */

/* Test aid: $DEIM_TEST_BREAK names a kernel, which then computes nothing. */
static void
break_kernel (DeimDispatchList *list)
{
  const gchar *what = g_getenv ("DEIM_TEST_BREAK");
  for (guint i = 0; what && i < list->dispatches->len; i++) {
    DeimDispatch *d = &g_array_index (list->dispatches, DeimDispatch, i);
    if (g_str_equal (what, d->shader))
      d->groups[0] = 0;
  }
}

static gboolean
make_dispatches (DeimExecutor *self, const DeimTuning *tuning, GError **error)
{
  const DeimGpuPolicy *policy = deim_gpu_get_policy (self->gpu);
  const DeimGpuProperties *properties = deim_gpu_get_properties (self->gpu);
  DeimOpDevice device = { .subgroup_size = policy->subgroup_size,
                          .cpu = policy->on[DEIM_DECISION_CPU],
                          .shuffle = policy->on[DEIM_DECISION_SHUFFLE],
                          .park = policy->on[DEIM_DECISION_PARK],
                          .winograd = self->winograd,
                          .subgroup = policy->on[DEIM_DECISION_SUBGROUP],
                          .max_local = MIN (properties->max_workgroup_invocations, properties->max_workgroup_size_x),
                          .max_shared = properties->max_shared_bytes,
                          .half = self->half,
                          .matrices = policy->on[DEIM_DECISION_COOPMAT],
                          .matrix_m = policy->matrix.m,
                          .matrix_n = policy->matrix.n,
                          .matrix_k = policy->matrix.k };
  self->list = deim_dispatch_list_new (self->layouts, &device);
  self->list->parts = MAX (self->share.count, 1);
  self->list->tuning = tuning;
  for (guint i = 0; i < deim_graph_get_n_nodes (self->graph); i++) {
    DeimNode *node = deim_graph_get_node (self->graph, i);
    if (!node->op->dispatch)
      continue;
    self->list->node = node;
    if (!node->op->dispatch (node, self->list, error))
      return FALSE;
  }
  self->list->tuning = NULL;
  break_kernel (self->list);
  return TRUE;
}

DeimDispatch *
deim_executor_dispatch (const DeimExecutor *self, guint index)
{
  return &g_array_index (self->list->dispatches, DeimDispatch, index);
}

/* Nodes of the gradient come after all others, and so do their dispatches. */
guint
deim_executor_first_phase (const DeimExecutor *self)
{
  guint n = self->list->dispatches->len;
  while (n > 0 && deim_executor_dispatch (self, n - 1)->node->backward)
    n--;
  return n;
}

guint
deim_executor_phase_of (const DeimExecutor *self, const DeimTensor *tensor)
{
  if (tensor->producer)
    return tensor->producer->backward ? 1 : 0;
  const DeimTensor *root = deim_layouts_get (self->layouts, tensor)->root;
  guint first = deim_executor_first_phase (self);
  for (guint i = 0; i < first; i++) {
    const DeimDispatch *d = deim_executor_dispatch (self, i);
    for (guint b = 0; b < d->n_bind; b++)
      if (d->bind[b].tensor && deim_layouts_get (self->layouts, d->bind[b].tensor)->root == root)
        return 0;
  }
  return first < self->list->dispatches->len ? 1 : 0;
}

gboolean
deim_executor_is_resident (const DeimExecutor *self, const DeimTensor *tensor)
{
  return self->resident_offset && self->resident_offset[tensor->id] != G_MAXSIZE;
}

gboolean
deim_executor_is_half (const DeimExecutor *self, const DeimTensor *tensor)
{
  const DeimTensor *root = deim_layouts_get (self->layouts, tensor)->root;
  return self->half && tensor->type == DEIM_TYPE_FLOAT && !deim_layouts_get (self->layouts, root)->fp32;
}

gsize
deim_executor_element_bytes (const DeimExecutor *self, const DeimTensor *tensor)
{
  return tensor->type == DEIM_TYPE_INT ? 4 : deim_executor_is_half (self, tensor) ? 8 : 16;
}

gsize
deim_executor_root_bytes (const DeimExecutor *self, const DeimTensor *root)
{
  return deim_layout_storage (deim_layouts_get (self->layouts, root), root) * deim_executor_element_bytes (self, root);
}

/* --------------------------------------------------------------- the arena */

static void
extend (DeimPlanBlock *block, guint step)
{
  block->first = MIN (block->first, step);
  block->last = MAX (block->last, step);
}

/* Roots live from the first dispatch that touches a part of them to the last; inputs and outputs to the ends of their
 * phases. */
static void
plan_arena (DeimExecutor *self)
{
  guint n_tensors = deim_graph_get_n_tensors (self->graph), n_scratch = self->list->scratch->len;
  guint steps = self->list->dispatches->len, first = deim_executor_first_phase (self);
  g_autofree DeimPlanBlock *lives = g_new0 (DeimPlanBlock, n_tensors + n_scratch);
  for (guint i = 0; i < n_tensors + n_scratch; i++)
    lives[i].first = G_MAXUINT;

  for (guint step = 0; step < steps; step++) {
    const DeimDispatch *d = deim_executor_dispatch (self, step);
    for (guint b = 0; b < d->n_bind; b++) {
      if (d->bind[b].tensor)
        extend (&lives[deim_layouts_get (self->layouts, d->bind[b].tensor)->root->id], step);
      else if (d->bind[b].scratch >= 0)
        extend (&lives[n_tensors + (guint) d->bind[b].scratch], step);
    }
  }
  for (guint i = 0; i < n_tensors; i++) {
    DeimTensor *tensor = deim_graph_get_tensor (self->graph, i);
    DeimPlanBlock *life = &lives[deim_layouts_get (self->layouts, tensor)->root->id];
    if (tensor->kind != DEIM_TENSOR_INPUT && !deim_graph_is_output (self->graph, tensor))
      continue;
    guint phase = deim_executor_phase_of (self, tensor);
    if (tensor->kind == DEIM_TENSOR_INPUT)
      extend (life, phase ? first : 0);
    if (deim_graph_is_output (self->graph, tensor))
      extend (life, phase ? steps : first);
  }

  g_autofree DeimPlanBlock *blocks = g_new0 (DeimPlanBlock, n_tensors + n_scratch);
  g_autofree gsize **targets = g_new0 (gsize *, n_tensors + n_scratch);
  guint n = 0;
  self->tensor_offset = g_new0 (gsize, n_tensors);
  self->scratch_offset = g_new0 (gsize, MAX (n_scratch, 1));
  for (guint i = 0; i < n_tensors + n_scratch; i++) {
    if (lives[i].first == G_MAXUINT)
      continue;
    const DeimTensor *tensor = i < n_tensors ? deim_graph_get_tensor (self->graph, i) : NULL;
    if (tensor && (tensor->data || deim_executor_is_resident (self, tensor)))
      continue; /* parameters and constants lie with the weights, residents with the caller */
    blocks[n] = lives[i];
    blocks[n].size = tensor ? deim_executor_root_bytes (self, tensor)
                            : g_array_index (self->list->scratch, DeimScratch, i - n_tensors).bytes;
    targets[n++] = tensor ? &self->tensor_offset[i] : &self->scratch_offset[i - n_tensors];
  }
  self->arena_bytes = deim_plan_solve (blocks, n, self->alignment);
  for (guint i = 0; i < n; i++)
    *targets[i] = blocks[i].offset;
}

/* -------------------------------------------------------------- the weights */

/* NC4HW4 from dense values, four floats a vec4 or four halves. */
void
deim_executor_pack (const DeimExecutor *self, const DeimTensor *tensor, const gfloat *dense, guint8 *storage)
{
  const DeimLayout *layout = deim_layouts_get (self->layouts, tensor);
  gboolean half = deim_executor_is_half (self, tensor);
  gint positions = tensor->shape.h * tensor->shape.w;
  if (tensor->plain || tensor->type == DEIM_TYPE_INT) {
    memcpy (storage, dense, deim_shape_size (tensor->shape) * 4);
    return;
  }
  for (gint n = 0; n < tensor->shape.n; n++)
    for (gint p = 0; p < layout->blocks * 4; p++) {
      gint c = deim_layout_logical (layout, p);
      const gfloat *from = c < 0 ? NULL : dense + ((gsize) n * tensor->shape.c + c) * positions;
      gsize at =
          ((gsize) layout->first + (gsize) n * layout->batch_stride + (gsize) (p / 4) * layout->block_stride) * 4 +
          p % 4;
      for (gint i = 0; i < positions; i++) {
        gfloat value = from ? from[i] : 0;
        if (half)
          ((guint16 *) storage)[at + 4 * (gsize) i] = deim_half_from_float (value);
        else
          ((gfloat *) storage)[at + 4 * (gsize) i] = value;
      }
    }
}

static gsize
align_up (gsize value, gsize alignment)
{
  return (value + alignment - 1) / alignment * alignment;
}

static gboolean
upload_weights (DeimExecutor *self, GError **error)
{
  guint n_tensors = deim_graph_get_n_tensors (self->graph), n_blobs = self->list->blobs->len;
  g_autofree gboolean *bound = g_new0 (gboolean, n_tensors);
  for (guint step = 0; step < self->list->dispatches->len; step++) {
    const DeimDispatch *d = deim_executor_dispatch (self, step);
    for (guint b = 0; b < d->n_bind; b++)
      if (d->bind[b].tensor)
        bound[deim_layouts_get (self->layouts, d->bind[b].tensor)->root->id] = TRUE;
  }

  gsize total = 0;
  self->blob_offset = g_new0 (gsize, MAX (n_blobs, 1));
  self->blob_bytes = g_new0 (gsize, MAX (n_blobs, 1));
  for (guint i = 0; i < n_blobs; i++) {
    const DeimBlob *blob = &g_array_index (self->list->blobs, DeimBlob, i);
    self->blob_offset[i] = total;
    self->blob_bytes[i] = blob->n * (self->half && !blob->keep_fp32 ? 2 : 4);
    total = align_up (total + self->blob_bytes[i], self->alignment);
  }
  for (guint i = 0; i < n_tensors; i++) {
    const DeimTensor *tensor = deim_graph_get_tensor (self->graph, i);
    if (!bound[i] || !tensor->data || deim_executor_is_resident (self, tensor))
      continue;
    self->tensor_offset[i] = total;
    total = align_up (total + deim_executor_root_bytes (self, tensor), self->alignment);
  }

  g_autofree guint8 *staging = g_malloc0 (MAX (total, self->alignment));
  for (guint i = 0; i < n_blobs; i++) {
    const DeimBlob *blob = &g_array_index (self->list->blobs, DeimBlob, i);
    if (self->half && !blob->keep_fp32)
      for (gsize k = 0; k < blob->n; k++)
        ((guint16 *) (staging + self->blob_offset[i]))[k] = deim_half_from_float (blob->data[k]);
    else
      memcpy (staging + self->blob_offset[i], blob->data, self->blob_bytes[i]);
  }
  for (guint i = 0; i < n_tensors; i++) {
    const DeimTensor *tensor = deim_graph_get_tensor (self->graph, i);
    if (bound[i] && tensor->data && !deim_executor_is_resident (self, tensor))
      deim_executor_pack (self, tensor, tensor->data, staging + self->tensor_offset[i]);
  }
  self->weight_bytes = total;
  return deim_gpu_buffer_init (&self->weights, self->gpu, DEIM_MEMORY_DEVICE, MAX (total, self->alignment), error) &&
         deim_gpu_buffer_upload (&self->weights, self->gpu, 0, staging, MAX (total, self->alignment), error);
}

/* --------------------------------------------------------------- pipelines */

static gboolean
binding_is_half (const DeimExecutor *self, const DeimBinding *bind)
{
  if (bind->tensor)
    return deim_executor_is_half (self, bind->tensor);
  if (bind->blob >= 0)
    return self->half && !g_array_index (self->list->blobs, DeimBlob, bind->blob).keep_fp32;
  return FALSE;
}

VkFormat
deim_executor_texel_format (const DeimExecutor *self, const DeimBinding *bind)
{
  return binding_is_half (self, bind) ? VK_FORMAT_R16G16B16A16_SFLOAT : VK_FORMAT_R32G32B32A32_SFLOAT;
}

/* Test aid: $DEIM_TEST_BREAK names a feature (shuffle, fp16, coopmat, address): all convolutions that use it get the
 * wrong activation, so that tests see the self-test find it. */
static void
break_feature (const DeimDispatch *d, DeimPipelineKey *key)
{
  const gchar *what = g_getenv ("DEIM_TEST_BREAK");
  if (!what || !g_str_has_prefix (d->shader, "conv") || key->n_spec <= 7)
    return;
  if ((g_str_equal (what, "shuffle") && key->spec[3]) || (g_str_equal (what, "fp16") && key->spec[2]) ||
      (g_str_equal (what, "address") && key->addresses) ||
      (g_str_equal (what, "coopmat") && g_str_equal (d->shader, "conv_coopmat")))
    key->spec[7] = DEIM_ACT_SIGMOID;
}

static void
make_key (const DeimExecutor *self, const DeimDispatch *d, DeimPipelineKey *key)
{
  const DeimGpuPolicy *policy = deim_gpu_get_policy (self->gpu);
  gboolean texel = policy->on[DEIM_DECISION_TEXEL];
  memset (key, 0, sizeof *key);
  key->addresses = texel && policy->on[DEIM_DECISION_ADDRESS];
  g_autofree gchar *name = g_strconcat (d->shader, key->addresses ? ".address" : texel ? ".texel" : ".ssbo", NULL);
  key->shader = g_intern_string (name);
  key->n_slots = d->n_bind;
  guint32 half = 0;
  for (guint b = 0; b < d->n_bind; b++) {
    key->slots[b] = texel && d->bind[b].mode == DEIM_BIND_READ ? DEIM_SLOT_TEXEL : DEIM_SLOT_STORAGE;
    if (binding_is_half (self, &d->bind[b]))
      half |= 1u << b;
  }
  key->spec[0] = policy->subgroup_size;
  key->spec[1] = d->local_size;
  key->spec[2] = half;
  key->spec[3] = d->shuffle;
  memcpy (key->spec + 4, d->spec, d->n_spec * sizeof (guint32));
  key->n_spec = 4 + d->n_spec;
  break_feature (d, key);
  key->push_bytes = d->n_push * sizeof (guint32);
  key->required_subgroup_size = policy->subgroup_size;
  key->full_subgroups =
      deim_gpu_get_properties (self->gpu)->full_subgroups && d->local_size % policy->subgroup_size == 0;
}

typedef struct {
  DeimExecutor *self;
  GMutex lock;
  GError *error;
} PipelineJob;

static void
make_pipeline (gpointer index, gpointer data)
{
  PipelineJob *job = data;
  guint i = GPOINTER_TO_UINT (index) - 1;
  GError *error = NULL;
  job->self->pipelines[i] = deim_gpu_get_pipeline (job->self->gpu, &job->self->keys[i], &error);
  if (!error)
    return;
  g_mutex_lock (&job->lock);
  if (job->error)
    g_error_free (error);
  else
    job->error = error;
  g_mutex_unlock (&job->lock);
}

static void
compile_ahead (DeimExecutor *self)
{
  g_autoptr (GArray) uses = g_array_new (FALSE, TRUE, sizeof (DeimPipelineUse));
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  for (guint i = 0; i < self->list->dispatches->len; i++) {
    DeimPipelineUse use = { .key = self->keys[i] };
    if (!self->pipelines[i] || !g_hash_table_add (seen, (gpointer) self->pipelines[i]))
      continue;
    for (guint b = 0; b < use.key.n_slots; b++)
      use.formats[b] = deim_executor_texel_format (self, &deim_executor_dispatch (self, i)->bind[b]);
    g_array_append_val (uses, use);
  }
  deim_gpu_compile_ahead (self->gpu, (const DeimPipelineUse *) uses->data, uses->len);
}

/* Drivers compile in the calling thread, so several threads make start-up shorter. */
static gboolean
make_pipelines (DeimExecutor *self, GError **error)
{
  guint n = self->list->dispatches->len;
  PipelineJob job = { .self = self };
  g_mutex_init (&job.lock);
  self->keys = g_new0 (DeimPipelineKey, MAX (n, 1));
  self->pipelines = g_new0 (const DeimPipeline *, MAX (n, 1));
  GThreadPool *pool = g_thread_pool_new (make_pipeline, &job, (gint) g_get_num_processors (), FALSE, NULL);
  for (guint i = 0; i < n; i++) {
    if (deim_executor_dispatch (self, i)->gather)
      continue;
    make_key (self, deim_executor_dispatch (self, i), &self->keys[i]);
    g_thread_pool_push (pool, GUINT_TO_POINTER (i + 1), NULL);
  }
  g_thread_pool_free (pool, FALSE, TRUE);
  g_mutex_clear (&job.lock);
  if (job.error) {
    g_propagate_error (error, job.error);
    return FALSE;
  }
  deim_gpu_save_pipeline_cache (self->gpu);
  compile_ahead (self);
  return TRUE;
}

/* ------------------------------------------------------------------ object */

gsize
deim_executor_alignment (DeimGpu *gpu)
{
  return MAX (64, deim_gpu_get_properties (gpu)->binding_alignment);
}

/* Takes @graph. */
static DeimExecutor *
make (DeimGpu *gpu, DeimGraph *graph, DeimPrecision precision, const DeimTuning *tuning, const DeimGpuBuffer *buffer,
      const DeimResident *residents, guint n, const DeimShare *share, GError **error)
{
  g_autoptr (DeimExecutor) self = g_new0 (DeimExecutor, 1);
  self->share = *share;
  self->gpu = deim_gpu_ref (gpu);
  self->graph = graph;
  self->half = precision == DEIM_PRECISION_FP16;
  self->winograd = precision == DEIM_PRECISION_AUTO && deim_gpu_get_policy (gpu)->on[DEIM_DECISION_WINOGRAD];
  self->alignment = deim_executor_alignment (gpu);
  self->residents = buffer;
  if (n) {
    self->resident_offset = g_new (gsize, deim_graph_get_n_tensors (graph));
    for (guint i = 0; i < deim_graph_get_n_tensors (graph); i++)
      self->resident_offset[i] = G_MAXSIZE;
    for (guint i = 0; i < n; i++)
      self->resident_offset[residents[i].tensor->id] = residents[i].offset;
  }
  self->layouts = deim_layouts_new (graph, error);
  if (!self->layouts || !make_dispatches (self, tuning, error))
    return NULL;
  plan_arena (self);
  if (!upload_weights (self, error) || !make_pipelines (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

DeimExecutor *
deim_executor_new (DeimGpu *gpu, DeimGraph *graph, DeimPrecision precision, gboolean optimise, const DeimTuning *tuning,
                   GError **error)
{
  if (optimise)
    deim_graph_optimise (graph, deim_op_find ("slice"));
  return make (gpu, graph, precision, tuning, NULL, NULL, 0, &(DeimShare){ 0 }, error);
}

DeimExecutor *
deim_executor_new_training (DeimGpu *gpu, DeimGraph *graph, gboolean half, const DeimGpuBuffer *buffer,
                            const DeimResident *residents, guint n, const DeimShare *share, GError **error)
{
  DeimPrecision precision = half ? DEIM_PRECISION_FP16 : DEIM_PRECISION_FP32;
  return make (gpu, graph, precision, NULL, buffer, residents, n, share, error);
}

void
deim_executor_free (DeimExecutor *self)
{
  if (!self)
    return;
  deim_gpu_buffer_finish (&self->weights, self->gpu);
  deim_dispatch_list_free (self->list);
  deim_layouts_free (self->layouts);
  deim_graph_free (self->graph);
  g_free (self->resident_offset);
  g_free (self->tensor_offset);
  g_free (self->scratch_offset);
  g_free (self->blob_offset);
  g_free (self->blob_bytes);
  g_free (self->keys);
  g_free (self->pipelines);
  deim_gpu_unref (self->gpu);
  g_free (self);
}

DeimGraph *
deim_executor_get_graph (DeimExecutor *self)
{
  return self->graph;
}

guint
deim_executor_get_n_dispatches (const DeimExecutor *self)
{
  return self->list->dispatches->len;
}

gsize
deim_executor_get_arena_bytes (const DeimExecutor *self)
{
  return self->arena_bytes;
}

gsize
deim_executor_get_weight_bytes (const DeimExecutor *self)
{
  return self->weight_bytes;
}

/* What a dispatch reads and writes, everything whole and once. */
static gdouble
dispatch_bytes (const DeimExecutor *self, const DeimDispatch *d)
{
  gdouble bytes = 0;
  for (guint b = 0; b < d->n_bind; b++) {
    const DeimBinding *bind = &d->bind[b];
    gboolean again = FALSE; /* a binding that a kernel does not use is bound to another's tensor */
    for (guint k = 0; k < b; k++)
      again |= bind->tensor && d->bind[k].tensor == bind->tensor;
    if (again)
      continue;
    if (bind->blob >= 0) {
      bytes += (gdouble) self->blob_bytes[bind->blob];
    } else if (bind->scratch >= 0) {
      bytes += (gdouble) g_array_index (self->list->scratch, DeimScratch, bind->scratch).bytes;
    } else if (bind->tensor->type == DEIM_TYPE_INT || bind->tensor->plain) {
      bytes += 4.0 * (gdouble) deim_shape_size (bind->tensor->shape);
    } else {
      DeimShape s = bind->tensor->shape;
      gdouble vec4s = (gdouble) s.n * s.h * s.w * deim_layouts_get (self->layouts, bind->tensor)->blocks;
      bytes += vec4s * (gdouble) deim_executor_element_bytes (self, bind->tensor);
    }
  }
  return bytes;
}

void
deim_executor_describe_dispatch (const DeimExecutor *self, guint index, DeimProfileEntry *ret)
{
  const DeimDispatch *d = deim_executor_dispatch (self, index);
  memset (ret, 0, sizeof *ret);
  g_strlcpy (ret->name, d->node->name ? d->node->name : d->node->op->name, sizeof ret->name);
  g_strlcpy (ret->op, d->shader, sizeof ret->op);
  g_strlcpy (ret->stage, d->node->stage ? d->node->stage : "", sizeof ret->stage);
  ret->gflop = d->flop * 1e-9;
  ret->gbyte = dispatch_bytes (self, d) * 1e-9;
}
