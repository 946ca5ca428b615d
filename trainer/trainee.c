/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trainee.c - from a preset or checkpoint to a session, and from there to models and files. */
#include "trainee.h"

#include "initial.h"
#include "update-rule.h"

#include "engine/model.h"
#include <string.h>

struct _DeimTrainee {
  DeimModel *base; /* what was begun with: names, shapes, buffers, metadata */
  DeimArch arch;
  DeimTrainingSession *session;
  DeimRanks *ranks;
  gchar *note;
  gboolean fine_tuned;
};

/* ---------------------------------------------------------------- beginning */

/* The network's values, and the checkpoint that weights come from (NULL for a preset), which @ret_loaded keeps. */
static gboolean
find_arch (const gchar *name, DeimArch *ret_arch, DeimModel **ret_loaded, GError **error)
{
  g_autoptr (GError) unknown = NULL;

  /* A folder may have an architecture's name: that of its own trainings. */
  if (!g_file_test (name, G_FILE_TEST_IS_REGULAR) && deim_arch_parse_spec (name, ret_arch, NULL, &unknown))
    return TRUE;
  *ret_loaded = deim_model_load (name, NULL, error);
  if (*ret_loaded) {
    *ret_arch = *deim_model_get_arch (*ret_loaded);
    return TRUE;
  }
  if (unknown && error && g_error_matches (*error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND)) {
    g_clear_error (error);
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "there is no checkpoint \"%s\", and %s", name,
                 unknown->message);
  }
  return FALSE;
}

/* As many classes as before, but others. */
static gchar *
describe_labels (DeimModel *loaded, const gchar *const *labels)
{
  for (guint i = 0; labels[i]; i++) {
    const gchar *old = deim_model_get_label (loaded, i);
    if (g_strcmp0 (old, labels[i]) != 0)
      return g_strdup_printf ("class %u is \"%s\" in the checkpoint and \"%s\" in the data set; there are as many as "
                              "before, so heads are kept and learn the new ones",
                              i, old, labels[i]);
  }
  return NULL;
}

/* What was made up although there was a checkpoint. */
static gchar *
describe_made (const GPtrArray *made, const DeimArch *old, const DeimArch *arch)
{
  if (old->decoder.classes != arch->decoder.classes)
    return g_strdup_printf ("the checkpoint has %d classes and the data set %d: %u tensors of class heads begin anew "
                            "(%s, ...)",
                            old->decoder.classes, arch->decoder.classes, made->len,
                            (const gchar *) g_ptr_array_index (made, 0));
  return g_strdup_printf ("%u tensors that the checkpoint lacks begin anew (%s, ...)", made->len,
                          (const gchar *) g_ptr_array_index (made, 0));
}

static void
set_metadata (DeimCheckpoint *checkpoint, const DeimArch *arch, const gchar *labels)
{
  g_autofree gchar *spec = deim_arch_to_spec (arch);
  deim_checkpoint_set_metadata (checkpoint, DEIM_METADATA_ARCH, spec);
  deim_checkpoint_set_metadata (checkpoint, DEIM_METADATA_LABELS, labels);
}

static DeimModel *
make_base (DeimTrainee *self, const DeimTraineeOptions *options, GError **error)
{
  g_autoptr (DeimModel) loaded = NULL;
  g_autoptr (GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  g_autofree gchar *labels = g_strjoinv ("\n", (gchar **) options->labels);

  if (!find_arch (options->model, &self->arch, &loaded, error))
    return NULL;
  if (options->freeze_norms && !loaded) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "%s is an architecture, whose norms have no statistics to keep; train them, or give a checkpoint",
                 options->model);
    return NULL;
  }
  if (options->backbone && loaded) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "%s is a checkpoint, which has a backbone; give an architecture's name to begin with that of %s",
                 options->model, options->backbone);
    return NULL;
  }
  g_autoptr (DeimCheckpoint) backbone = options->backbone ? deim_checkpoint_open (options->backbone, error) : NULL;
  if (options->backbone && !backbone)
    return NULL;
  DeimArch old = self->arch;
  self->arch.decoder.classes = (gint) g_strv_length ((gchar **) options->labels);
  self->arch.input_height = options->height ? (gint) options->height : self->arch.input_height;
  self->arch.input_width = options->width ? (gint) options->width : self->arch.input_width;
  const DeimInitialOptions initial = {
    .from = loaded ? deim_model_get_checkpoint (loaded) : NULL,
    .backbone = backbone,
    .height = (guint) self->arch.input_height,
    .width = (guint) self->arch.input_width,
    .seed = options->seed,
  };
  DeimCheckpoint *checkpoint = deim_initial_checkpoint (&self->arch, &initial, made, error);
  if (!checkpoint)
    return NULL;
  self->fine_tuned = loaded != NULL;
  if (loaded)
    self->note = made->len ? describe_made (made, &old, &self->arch) : describe_labels (loaded, options->labels);
  set_metadata (checkpoint, &self->arch, labels);
  return deim_model_new (checkpoint, options->model, NULL, error);
}

/* For the session, which knows no ranks. */
static void
gather (gconstpointer own, gsize bytes, gpointer ret_all, gpointer data)
{
  deim_ranks_gather (data, own, bytes, ret_all);
}

static gint
group_of (const gchar *name, gpointer data)
{
  const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (data, name);
  return deim_parameter_group_number (name, tensor->n_dims);
}

DeimTrainee *
deim_trainee_new (DeimDevice *device, const DeimTraineeOptions *options, GError **error)
{
  g_autoptr (DeimTrainee) self = g_new0 (DeimTrainee, 1);

  self->ranks = options->ranks;
  self->base = make_base (self, options, error);
  if (!self->base)
    return NULL;
  DeimParamSource source = deim_model_get_source (self->base);
  const DeimTrainingOptions training = {
    .batch = options->batch,
    .height = (guint) self->arch.input_height,
    .width = (guint) self->arch.input_width,
    .denoising = options->denoising,
    .freeze_norms = options->freeze_norms,
    .half = options->half,
    .share = { deim_ranks_get_count (self->ranks), gather, self->ranks },
    .timestamps = options->timestamps,
    .group = group_of,
    .group_data = deim_model_get_checkpoint (self->base),
  };
  self->session = deim_training_new (device, &self->arch, &source, &training, error);
  return self->session ? g_steal_pointer (&self) : NULL;
}

void
deim_trainee_free (DeimTrainee *self)
{
  if (!self)
    return;
  deim_training_free (self->session);
  deim_model_unref (self->base);
  g_free (self->note);
  g_free (self);
}

const DeimArch *
deim_trainee_get_arch (const DeimTrainee *self)
{
  return &self->arch;
}

DeimTrainingSession *
deim_trainee_get_session (const DeimTrainee *self)
{
  return self->session;
}

const gchar *
deim_trainee_get_note (const DeimTrainee *self)
{
  return self->note;
}

gboolean
deim_trainee_is_fine_tuned (const DeimTrainee *self)
{
  return self->fine_tuned;
}

/* -------------------------------------------------------------------- models */

/* The averages of the parameter behind a tensor of the base; NULL: training does not touch it. */
static gboolean
get_average (DeimTrainee *self, const DeimCheckpointTensor *tensor, GBytes **ret_bytes, GError **error)
{
  g_autofree gchar *name = deim_network_trained_name (&self->arch, tensor->name);
  gint index = deim_training_find_parameter (self->session, name);

  *ret_bytes = NULL;
  if (index < 0)
    return TRUE;
  g_autofree gfloat *values = g_new (gfloat, tensor->n_elements);
  if (!deim_training_get_state (self->session, (guint) index, DEIM_STATE_AVERAGE, values, error))
    return FALSE;
  *ret_bytes = g_bytes_new_take (g_steal_pointer (&values), tensor->n_elements * sizeof (gfloat));
  return TRUE;
}

DeimModel *
deim_trainee_make_model (DeimTrainee *self, GError **error)
{
  DeimCheckpoint *base = deim_model_get_checkpoint (self->base);
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();

  for (guint i = 0; i < deim_checkpoint_get_n_tensors (base); i++) {
    const DeimCheckpointTensor *tensor = deim_checkpoint_get (base, i);
    g_autoptr (GBytes) bytes = NULL;
    if (!get_average (self, tensor, &bytes, error))
      return NULL;
    if (!bytes)
      bytes = g_bytes_new (tensor->data, tensor->n_elements * deim_dtype_size (tensor->dtype));
    deim_checkpoint_add (checkpoint, tensor->name, tensor->dtype, tensor->n_dims, tensor->shape, bytes);
  }
  set_metadata (checkpoint, &self->arch, deim_checkpoint_get_metadata (base, DEIM_METADATA_LABELS));
  return deim_model_new (g_steal_pointer (&checkpoint), "the weights in training", NULL, error);
}

gboolean
deim_trainee_take_up (DeimTrainee *self, const gchar *path, GError **error)
{
  g_autoptr (DeimCheckpoint) file = deim_checkpoint_open (path, error);
  if (!file)
    return FALSE;
  for (guint i = 0; i < deim_training_get_n_parameters (self->session); i++) {
    const DeimParameter *parameter = deim_training_get_parameter (self->session, i);
    const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (file, parameter->name);
    if (!tensor || tensor->n_elements != parameter->size) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: it does not hold %s of this network", path,
                   parameter->name);
      return FALSE;
    }
    g_autofree gfloat *values = g_new (gfloat, parameter->size);
    deim_checkpoint_tensor_to_float (tensor, values);
    if (!deim_training_set_state (self->session, i, DEIM_STATE_VALUE, values, error) ||
        !deim_training_set_state (self->session, i, DEIM_STATE_AVERAGE, values, error))
      return FALSE;
  }
  return TRUE;
}

/* --------------------------------------------------------------------- state */

/* Names of what is kept of a parameter; gradients are not. */
static const gchar *const state_names[DEIM_STATE_LAST] = {
  [DEIM_STATE_VALUE] = "weights",
  [DEIM_STATE_FIRST_MOMENT] = "first",
  [DEIM_STATE_SECOND_MOMENT] = "second",
  [DEIM_STATE_AVERAGE] = "averages",
};

typedef struct {
  DeimStateTensor tensor;
  guint parameter;
  DeimState state;
} Kept;

static void
kept_clear (gpointer data)
{
  Kept *kept = data;
  g_free ((gchar *) kept->tensor.name);
  g_free (kept->tensor.data);
}

static gboolean
is_kept (const DeimParameter *parameter, DeimState state)
{
  gboolean moment = state == DEIM_STATE_FIRST_MOMENT || state == DEIM_STATE_SECOND_MOMENT;
  return state_names[state] && (!moment || parameter->kind == DEIM_PARAMETER_TRAINED);
}

/* All that makes up the state, with room for its numbers. */
static GArray *
list_kept (DeimTrainee *self)
{
  GArray *list = g_array_new (FALSE, FALSE, sizeof (Kept));

  g_array_set_clear_func (list, kept_clear);
  for (guint i = 0; i < deim_training_get_n_parameters (self->session); i++)
    for (DeimState state = DEIM_STATE_VALUE; state < DEIM_STATE_LAST; state++) {
      const DeimParameter *parameter = deim_training_get_parameter (self->session, i);
      if (!is_kept (parameter, state))
        continue;
      Kept kept = { .parameter = i, .state = state };
      kept.tensor = (DeimStateTensor){
        .name = g_strconcat (state_names[state], "/", parameter->name, NULL),
        .n_dims = 1,
        .shape = { (gint64) parameter->size },
        .n = parameter->size,
        .data = g_new (gfloat, parameter->size),
      };
      g_array_append_val (list, kept);
    }
  return list;
}

static DeimStateTensor *
tensors_of (const GArray *list)
{
  DeimStateTensor *tensors = g_new (DeimStateTensor, list->len);
  for (guint i = 0; i < list->len; i++)
    tensors[i] = g_array_index (list, Kept, i).tensor;
  return tensors;
}

gboolean
deim_trainee_save (DeimTrainee *self, const gchar *path, const DeimTrainPlace *place, const gchar *settings,
                   GError **error)
{
  g_autoptr (GArray) list = list_kept (self);
  g_autofree DeimStateTensor *tensors = tensors_of (list);

  for (guint i = 0; i < list->len; i++) {
    const Kept *kept = &g_array_index (list, Kept, i);
    if (!deim_training_get_state (self->session, kept->parameter, kept->state, kept->tensor.data, error))
      return FALSE;
  }
  return deim_train_state_save (path, place, settings, tensors, list->len, error);
}

gboolean
deim_trainee_load (DeimTrainee *self, const gchar *path, const gchar *settings, DeimTrainPlace *ret_place,
                   GError **error)
{
  g_autoptr (GArray) list = list_kept (self);
  g_autofree DeimStateTensor *tensors = tensors_of (list);
  DeimTrainPlace place;

  if (!deim_train_state_load (path, settings, tensors, list->len, &place, error))
    return FALSE;
  for (guint i = 0; i < list->len; i++) {
    const Kept *kept = &g_array_index (list, Kept, i);
    if (!deim_training_set_state (self->session, kept->parameter, kept->state, kept->tensor.data, error))
      return FALSE;
  }
  *ret_place = place;
  return TRUE;
}

gboolean
deim_trainee_share (DeimTrainee *self, GError **error)
{
  g_autoptr (GArray) list = list_kept (self);
  gboolean first = deim_ranks_get_index (self->ranks) == 0, good = TRUE;

  if (deim_ranks_get_count (self->ranks) == 1)
    return TRUE;
  for (guint i = 0; i < list->len; i++) { /* to the end, since the others count on it */
    const Kept *kept = &g_array_index (list, Kept, i);
    if (first && good)
      good = deim_training_get_state (self->session, kept->parameter, kept->state, kept->tensor.data, error);
    deim_ranks_send (self->ranks, kept->tensor.data, kept->tensor.n * sizeof (gfloat));
    if (!first && good)
      good = deim_training_set_state (self->session, kept->parameter, kept->state, kept->tensor.data, error);
  }
  return good;
}
