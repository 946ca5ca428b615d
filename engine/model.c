/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/model.h"
#include "engine/error.h"
#include "engine/formats/labels.h"
#include "engine/graph/op.h"
#include "engine/graph/passes.h"
#include "engine/models/recognise.h"

struct _DeimModel {
  gatomicrefcount ref_count;
  DeimCheckpoint *checkpoint;
  gchar *path;
  DeimArch arch;
  DeimModelInfo info;
  gchar **labels;
  DeimNotes *notes; /* each array ends with NULL once loaded */
};

/* --------------------------------------------- a checkpoint as a state dict */

static gboolean
tensor_shape (const DeimCheckpointTensor *tensor, DeimShape *ret_shape)
{
  gint sides[4] = { 1, 1, 1, 1 };
  if (tensor->n_dims > 4)
    return FALSE;
  for (guint i = 0; i < tensor->n_dims; i++) {
    if (tensor->shape[i] < 0 || tensor->shape[i] > G_MAXINT)
      return FALSE;
    sides[i] = (gint) tensor->shape[i];
  }
  *ret_shape = (DeimShape){ sides[0], sides[1], sides[2], sides[3] };
  return TRUE;
}

static const gchar *
dict_name (gpointer data, guint index)
{
  return deim_checkpoint_get (data, index)->name;
}

static gboolean
dict_shape (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (data, name);
  return tensor && tensor_shape (tensor, ret_shape);
}

static gfloat *
dict_values (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (data, name);
  DeimShape shape;
  if (!tensor || !tensor_shape (tensor, &shape))
    return NULL;
  gfloat *values = g_new (gfloat, MAX (tensor->n_elements, 1));
  deim_checkpoint_tensor_to_float (tensor, values);
  *ret_shape = shape;
  return values;
}

static DeimStateDict
state_dict (DeimCheckpoint *checkpoint)
{
  return (DeimStateDict){
    .n_tensors = deim_checkpoint_get_n_tensors (checkpoint),
    .name = dict_name,
    .shape = dict_shape,
    .values = { dict_values, checkpoint },
    .data = checkpoint,
  };
}

/* ------------------------------------------------------------------ labels */

static gboolean
take_labels (DeimModel *model, const DeimModelOptions *options, GError **error)
{
  guint n = (guint) model->arch.decoder.classes;
  const gchar *const *builtin = deim_labels_builtin (n);
  const gchar *metadata = deim_checkpoint_get_metadata (model->checkpoint, DEIM_METADATA_LABELS);
  if (options && options->labels_file) {
    model->labels = deim_labels_read (options->labels_file, n, error);
    if (!model->labels)
      return FALSE;
    g_autofree gchar *display = g_filename_display_name (options->labels_file);
    g_ptr_array_add (model->notes->all, g_strdup_printf ("labels: those of %s, which was asked for", display));
    return TRUE;
  }
  if (metadata) {
    g_auto (GStrv) lines = g_strsplit (metadata, "\n", -1);
    guint count = g_strv_length (lines);
    while (count > n && !*lines[count - 1])
      g_clear_pointer (&lines[--count], g_free);
    if (count != n) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                   "%s: its metadata (%s) names %u classes, and its tensors have %u; give a labels file", model->path,
                   DEIM_METADATA_LABELS, count, n);
      return FALSE;
    }
    model->labels = g_steal_pointer (&lines);
    g_ptr_array_add (model->notes->all, g_strdup ("labels: those in the file's metadata"));
    return TRUE;
  }
  if (builtin) {
    model->labels = g_strdupv ((gchar **) builtin);
    g_ptr_array_add (model->notes->all, g_strdup_printf ("labels: those of %s, the built-in set of %u classes",
                                                         deim_labels_builtin_name (n), n));
    return TRUE;
  }
  model->labels = g_new0 (gchar *, n + 1);
  for (guint i = 0; i < n; i++)
    model->labels[i] = g_strdup_printf ("class %u", i);
  g_ptr_array_add (model->notes->all,
                   g_strdup_printf ("labels: numbers, since there is no built-in set of %u classes", n));
  return TRUE;
}

/* ----------------------------------------------------------------- loading */

static gdouble
count_gflops (DeimGraph *graph)
{
  gdouble flop = 0;
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
    const DeimNode *node = deim_graph_get_node (graph, i);
    if (node->op->flop)
      flop += node->op->flop (node);
  }
  return flop * 1e-9;
}

/* Builds the network once: every tensor's presence and shape is seen by that. */
static gboolean
check_and_measure (DeimModel *model, GError **error)
{
  DeimStateDict dict = state_dict (model->checkpoint);
  DeimNetworkOutputs outputs;
  g_autoptr (DeimGraph) graph = deim_network_build (&model->arch, &dict.values, 1, (guint) model->arch.input_height,
                                                    (guint) model->arch.input_width, &outputs, error);
  if (!graph || !deim_check_unused (graph, &model->arch, &dict, error))
    return FALSE;
  deim_graph_fold (graph); /* counted as it is run */
  model->info.gflops = count_gflops (graph);
  return TRUE;
}

static gboolean
recognise (DeimModel *model, const DeimModelOptions *options, GError **error)
{
  DeimStateDict dict = state_dict (model->checkpoint);
  DeimRecogniseHints hints = {
    .file_name = model->path,
    .arch = options ? options->arch : NULL,
    .metadata_arch = deim_checkpoint_get_metadata (model->checkpoint, DEIM_METADATA_ARCH),
    .operators = deim_checkpoint_get_operators (model->checkpoint),
  };
  if (!deim_recognise (&dict, &hints, &model->arch, model->notes, error))
    return FALSE;
  model->info = (DeimModelInfo){
    .arch = model->arch.name,
    .family = model->arch.family,
    .size = model->arch.size,
    .num_classes = (guint) model->arch.decoder.classes,
    .num_queries = (guint) model->arch.decoder.queries,
    .input_width = (guint) model->arch.input_width,
    .input_height = (guint) model->arch.input_height,
    .parameters = deim_count_parameters (&model->arch, &dict),
  };
  return TRUE;
}

DeimModel *
deim_model_new (DeimCheckpoint *checkpoint, const gchar *path, const DeimModelOptions *options, GError **error)
{
  g_autoptr (DeimModel) model = g_new0 (DeimModel, 1);
  g_atomic_ref_count_init (&model->ref_count);
  model->checkpoint = checkpoint;
  model->path = g_strdup (path);
  model->notes = deim_notes_new ();
  if (!recognise (model, options, error) || !check_and_measure (model, error)) {
    DeimStateDict dict = state_dict (checkpoint);
    deim_name_missing (&dict, error);
    g_prefix_error (error, "%s: ", path);
    return NULL;
  }
  if (!take_labels (model, options, error))
    return NULL;
  g_ptr_array_add (model->notes->all, NULL);
  g_ptr_array_add (model->notes->guesses, NULL);
  return g_steal_pointer (&model);
}

DeimModel *
deim_model_load (const gchar *path, const DeimModelOptions *options, GError **error)
{
  gboolean own = g_str_equal (path, DEIM_MODEL_DEFAULT);
  DeimCheckpoint *checkpoint = own ? deim_default_model_open (error) : deim_checkpoint_open (path, error);
  return checkpoint ? deim_model_new (checkpoint, path, options, error) : NULL;
}

DeimModel *
deim_model_ref (DeimModel *model)
{
  g_atomic_ref_count_inc (&model->ref_count);
  return model;
}

void
deim_model_unref (DeimModel *model)
{
  if (!model || !g_atomic_ref_count_dec (&model->ref_count))
    return;
  deim_checkpoint_free (model->checkpoint);
  g_strfreev (model->labels);
  deim_notes_free (model->notes);
  g_free (model->path);
  g_free (model);
}

const DeimModelInfo *
deim_model_get_info (DeimModel *model)
{
  return &model->info;
}

const gchar *
deim_model_get_label (DeimModel *model, guint index)
{
  return index < model->info.num_classes ? model->labels[index] : NULL;
}

const gchar *const *
deim_model_get_notes (DeimModel *model)
{
  return (const gchar *const *) model->notes->all->pdata;
}

const gchar *const *
deim_model_get_guesses (DeimModel *model)
{
  return (const gchar *const *) model->notes->guesses->pdata;
}

const DeimArch *
deim_model_get_arch (DeimModel *model)
{
  return &model->arch;
}

DeimCheckpoint *
deim_model_get_checkpoint (DeimModel *model)
{
  return model->checkpoint;
}

DeimParamSource
deim_model_get_source (DeimModel *model)
{
  return state_dict (model->checkpoint).values;
}

const gchar *
deim_model_get_path (DeimModel *model)
{
  return model->path;
}

DeimGraph *
deim_model_build (DeimModel *model, guint batch, guint height, guint width, DeimNetworkOutputs *ret_outputs,
                  GError **error)
{
  DeimParamSource source = deim_model_get_source (model);
  return deim_network_build (&model->arch, &source, batch, height ? height : (guint) model->arch.input_height,
                             width ? width : (guint) model->arch.input_width, ret_outputs, error);
}
