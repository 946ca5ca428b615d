/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "differentiate.h"
#include "graph-private.h"
#include "op.h"
#include "shape.h"

typedef struct {
  DeimTensor *gradient; /* NULL: summed up already */
  gboolean whole;
  gboolean channels; /* of a part: along channels, else along positions; */
  gint start;        /* where it begins */
} Contribution;

struct _DeimBackward {
  DeimGraph *graph;
  const DeimAccumulation *accumulation;
  guint n_tensors;
  gboolean *wanted; /* by tensor id, of the tensors that were there before */
  GArray **pending; /* by tensor id: of Contribution; NULL: none yet */
};

DeimGraph *
deim_backward_graph (DeimBackward *self)
{
  return self->graph;
}

gboolean
deim_backward_wants (const DeimBackward *self, const DeimTensor *tensor)
{
  return tensor && tensor->id < self->n_tensors && self->wanted[tensor->id];
}

static void
give (DeimBackward *self, DeimTensor *tensor, const Contribution *contribution)
{
  if (!contribution->gradient || !deim_backward_wants (self, tensor))
    return;
  GArray **list = &self->pending[tensor->id];
  if (!*list)
    *list = g_array_new (FALSE, FALSE, sizeof (Contribution));
  g_array_append_vals (*list, contribution, 1);
}

void
deim_backward_give (DeimBackward *self, DeimTensor *tensor, DeimTensor *gradient)
{
  if (gradient && !deim_shape_equal (gradient->shape, tensor->shape)) {
    deim_graph_fail (self->graph, "the gradient of a " DEIM_SHAPE_FORMAT " has the shape " DEIM_SHAPE_FORMAT,
                     DEIM_SHAPE_ARGS (tensor->shape), DEIM_SHAPE_ARGS (gradient->shape));
    return;
  }
  give (self, tensor, &(Contribution){ .gradient = gradient, .whole = TRUE });
}

void
deim_backward_give_part (DeimBackward *self, DeimTensor *tensor, DeimTensor *gradient, gboolean channels, gint start)
{
  give (self, tensor, &(Contribution){ gradient, FALSE, channels, start });
}

static gint
extent (const DeimTensor *tensor, gboolean channels)
{
  return channels ? tensor->shape.c : tensor->shape.w;
}

/* Takes parts out of @list that together make a whole @tensor, and joins them: no zeros, and often no copy. NULL if
 * there are none such. */
static DeimTensor *
join_parts (DeimBackward *self, const DeimTensor *tensor, GArray *list, gboolean channels)
{
  DeimTensor *chain[DEIM_MAX_INPUTS];
  guint index[DEIM_MAX_INPUTS], n = 0;
  gint covered = 0;
  gboolean found = TRUE;
  while (found && covered < extent (tensor, channels) && n < DEIM_MAX_INPUTS) {
    found = FALSE;
    for (guint i = 0; i < list->len && !found; i++) {
      const Contribution *c = &g_array_index (list, Contribution, i);
      if (!c->gradient || c->whole || c->channels != channels || c->start != covered)
        continue;
      index[n] = i;
      chain[n++] = c->gradient;
      covered += extent (c->gradient, channels);
      found = TRUE;
    }
  }
  if (covered != extent (tensor, channels))
    return NULL;
  for (guint i = 0; i < n; i++)
    g_array_index (list, Contribution, index[i]).gradient = NULL;
  return self->accumulation->concat (self->graph, chain, n, channels);
}

/* All contributions to @tensor as one tensor, or NULL if there are none. */
static DeimTensor *
sum_up (DeimBackward *self, const DeimTensor *tensor)
{
  GArray *list = self->pending[tensor->id];
  DeimTensor *sum = NULL, *joined;
  if (!list)
    return NULL;
  for (gint channels = 0; channels < 2; channels++)
    while ((joined = join_parts (self, tensor, list, channels)) != NULL)
      sum = sum ? self->accumulation->add (self->graph, sum, joined) : joined;
  for (guint i = 0; i < list->len; i++) {
    const Contribution *c = &g_array_index (list, Contribution, i);
    if (c->gradient && c->whole)
      sum = sum ? self->accumulation->add (self->graph, sum, c->gradient) : c->gradient;
  }
  for (guint i = 0; i < list->len; i++) {
    const Contribution *c = &g_array_index (list, Contribution, i);
    if (c->gradient && !c->whole)
      sum = self->accumulation->place (self->graph, sum, c->gradient, tensor->shape, c->channels, c->start);
  }
  g_clear_pointer (&self->pending[tensor->id], g_array_unref);
  return sum;
}

/* What lies between the trained tensors and the end, in order of execution. */
static void
find_wanted (DeimBackward *self)
{
  for (guint i = 0; i < self->n_tensors; i++)
    self->wanted[i] = ((DeimTensor *) g_ptr_array_index (self->graph->tensors, i))->trained;
  for (guint i = 0; i < self->graph->nodes->len; i++) {
    const DeimNode *node = g_ptr_array_index (self->graph->nodes, i);
    for (guint k = 0; k < node->n_in && node->op->gradient; k++)
      if (deim_backward_wants (self, node->in[k]))
        self->wanted[node->out[0]->id] = TRUE;
  }
}

static void
seed_outputs (DeimBackward *self, DeimTensor *const *outputs, guint n, DeimTensor **ret_seeds)
{
  for (guint i = 0; i < n; i++) {
    ret_seeds[i] = NULL;
    if (!deim_backward_wants (self, outputs[i]))
      continue;
    g_autofree gchar *name =
        outputs[i]->name ? g_strconcat ("seed.", outputs[i]->name, NULL) : g_strdup_printf ("seed.%u", i);
    ret_seeds[i] = deim_input (self->graph, name, outputs[i]->shape);
    deim_backward_give (self, outputs[i], ret_seeds[i]);
  }
}

static void
walk_back (DeimBackward *self)
{
  GPtrArray *nodes = self->graph->nodes;
  for (guint i = nodes->len; i-- > 0 && !self->graph->error;) {
    const DeimNode *node = g_ptr_array_index (nodes, i);
    DeimTensor *out = node->out[0];
    if (!self->wanted[out->id] || !node->op->gradient)
      continue;
    deim_graph_push_scope (self->graph, "%s", node->name);
    deim_graph_set_stage (self->graph, node->stage);
    out->gradient = sum_up (self, out);
    if (out->gradient)
      node->op->gradient (node, out->gradient, self);
    deim_graph_pop_scope (self->graph);
  }
}

gboolean
deim_graph_differentiate (DeimGraph *graph, const DeimAccumulation *accumulation, DeimTensor *const *outputs, guint n,
                          DeimTensor **ret_seeds, GError **error)
{
  DeimBackward self = { .graph = graph, .accumulation = accumulation, .n_tensors = graph->tensors->len };
  self.wanted = g_new0 (gboolean, self.n_tensors);
  self.pending = g_new0 (GArray *, self.n_tensors);
  graph->backward = TRUE;
  find_wanted (&self);
  seed_outputs (&self, outputs, n, ret_seeds);
  walk_back (&self);
  for (guint i = 0; i < self.n_tensors; i++) {
    DeimTensor *tensor = g_ptr_array_index (graph->tensors, i);
    if (tensor->trained && !tensor->producer)
      tensor->gradient = sum_up (&self, tensor);
    if (tensor->trained)
      deim_graph_mark_output (graph, tensor->gradient);
    g_clear_pointer (&self.pending[i], g_array_unref);
  }
  /* What gradients are added up of is smaller than fp16 can tell from nothing. */
  for (guint i = self.n_tensors; i < graph->tensors->len; i++)
    ((DeimTensor *) g_ptr_array_index (graph->tensors, i))->keep_fp32 = TRUE;
  graph->backward = FALSE;
  g_free (self.wanted);
  g_free (self.pending);
  return deim_graph_finish (graph, error);
}
