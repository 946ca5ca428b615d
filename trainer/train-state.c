/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train-state.c - the state of a training, written and read back. */
#include "train-state.h"

#include "engine/formats/safetensors-write.h"

#include <deim.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#define KEY_PLACE    "deim.train.place"
#define KEY_SETTINGS "deim.train.settings"

/* ------------------------------------------------------------------- place */

/* All numbers in order, floating ones by their bits: what is read is what was written. */
#define N_NUMBERS 14

static guint64
bits_of (gdouble value)
{
  guint64 bits;
  memcpy (&bits, &value, sizeof bits);
  return bits;
}

static gdouble
from_bits (guint64 bits)
{
  gdouble value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

static gchar *
place_to_text (const DeimTrainPlace *place)
{
  GString *text = g_string_new ("1"); /* version */
  guint64 numbers[N_NUMBERS] = { place->seed,  place->iteration,         place->averages,       place->epoch,
                                 place->batch, bits_of (place->seconds), bits_of (place->best), place->best_epoch };
  for (guint i = 0; i < G_N_ELEMENTS (place->epoch_loss); i++)
    numbers[8 + i] = bits_of (place->epoch_loss[i]);
  for (guint i = 0; i < N_NUMBERS; i++)
    g_string_append_printf (text, " %" G_GUINT64_FORMAT, numbers[i]);
  return g_string_free (text, FALSE);
}

static gboolean
place_from_text (const gchar *text, DeimTrainPlace *ret_place)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  guint64 n[N_NUMBERS];

  if (g_strv_length (words) != 1 + N_NUMBERS || !g_str_equal (words[0], "1"))
    return FALSE;
  for (guint i = 0; i < N_NUMBERS; i++)
    if (!g_ascii_string_to_unsigned (words[1 + i], 10, 0, G_MAXUINT64, &n[i], NULL))
      return FALSE;
  if (n[3] > G_MAXUINT || n[4] > G_MAXUINT || n[7] > G_MAXUINT)
    return FALSE;
  *ret_place = (DeimTrainPlace){
    .seed = n[0],
    .iteration = n[1],
    .averages = n[2],
    .epoch = (guint) n[3],
    .batch = (guint) n[4],
    .seconds = from_bits (n[5]),
    .best = from_bits (n[6]),
    .best_epoch = (guint) n[7],
  };
  for (guint i = 0; i < G_N_ELEMENTS (ret_place->epoch_loss); i++)
    ret_place->epoch_loss[i] = from_bits (n[8 + i]);
  return TRUE;
}

/* ----------------------------------------------------------------- settings */

gboolean
deim_settings_differ (const gchar *then, const gchar *now, gchar **ret_then, gchar **ret_now)
{
  g_auto (GStrv) old = g_strsplit (then, "\n", -1), new = g_strsplit (now, "\n", -1);

  for (guint i = 0; old[i] || new[i]; i++) {
    const gchar *a = old[i] ? old[i] : "(nothing)", *b = new[i] ? new[i] : "(nothing)";
    if (!g_str_equal (a, b)) {
      *ret_then = g_strdup (a);
      *ret_now = g_strdup (b);
      return TRUE;
    }
  }
  return FALSE;
}

static gboolean
same_settings (const gchar *path, const gchar *then, const gchar *now, GError **error)
{
  g_autofree gchar *old = NULL, *new = NULL;

  if (!deim_settings_differ (then, now, &old, &new))
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
               "%s was written by a training with \"%s\", this one has \"%s\"; go on with the same settings, or begin "
               "anew in another folder",
               path, old, new);
  return FALSE;
}

/* ------------------------------------------------------------------ the file */

gboolean
deim_train_state_save (const gchar *path, const DeimTrainPlace *place, const gchar *settings,
                       const DeimStateTensor *tensors, guint n_tensors, GError **error)
{
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  g_autofree gchar *where = place_to_text (place);
  const DeimSafetensorsEntry entries[] = { { KEY_PLACE, where }, { KEY_SETTINGS, settings } };

  for (guint i = 0; i < n_tensors; i++) {
    g_autoptr (GBytes) bytes = g_bytes_new_static (tensors[i].data, tensors[i].n * sizeof (gfloat));
    deim_checkpoint_add (checkpoint, tensors[i].name, DEIM_DTYPE_F32, tensors[i].n_dims, tensors[i].shape, bytes);
  }
  return deim_safetensors_write (checkpoint, entries, G_N_ELEMENTS (entries), path, error);
}

static gboolean
fail (GError **error, const gchar *path, const gchar *what, const gchar *name)
{
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: %s%s; begin anew in another folder", path, what, name);
  return FALSE;
}

static gboolean
check_tensors (DeimCheckpoint *checkpoint, const gchar *path, const DeimStateTensor *tensors, guint n_tensors,
               GError **error)
{
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < n_tensors; i++) {
    const DeimCheckpointTensor *read = deim_checkpoint_lookup (checkpoint, tensors[i].name);
    if (!read)
      return fail (error, path, "it lacks the tensor ", tensors[i].name);
    if (read->dtype != DEIM_DTYPE_F32 || read->n_dims != tensors[i].n_dims ||
        memcmp (read->shape, tensors[i].shape, read->n_dims * sizeof *read->shape) != 0)
      return fail (error, path, "of another shape is ", tensors[i].name);
    g_hash_table_add (known, (gpointer) tensors[i].name);
  }
  for (guint i = 0; i < deim_checkpoint_get_n_tensors (checkpoint); i++)
    if (!g_hash_table_contains (known, deim_checkpoint_get (checkpoint, i)->name))
      return fail (error, path, "this network does not have its tensor ", deim_checkpoint_get (checkpoint, i)->name);
  return TRUE;
}

gboolean
deim_train_state_load (const gchar *path, const gchar *settings, const DeimStateTensor *tensors, guint n_tensors,
                       DeimTrainPlace *ret_place, GError **error)
{
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_open (path, error);
  DeimTrainPlace place;
  if (!checkpoint)
    return FALSE;
  const gchar *where = deim_checkpoint_get_metadata (checkpoint, KEY_PLACE);
  const gchar *then = deim_checkpoint_get_metadata (checkpoint, KEY_SETTINGS);
  if (!where || !then || !place_from_text (where, &place))
    return fail (error, path, "this is not the state of a training", "");
  if (!same_settings (path, then, settings, error) || !check_tensors (checkpoint, path, tensors, n_tensors, error))
    return FALSE;
  for (guint i = 0; i < n_tensors; i++)
    memcpy (tensors[i].data, deim_checkpoint_lookup (checkpoint, tensors[i].name)->data,
            tensors[i].n * sizeof (gfloat));
  *ret_place = place;
  return TRUE;
}
