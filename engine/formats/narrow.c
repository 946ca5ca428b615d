/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* narrow.c - a state dict in half the bytes. */
#include "checkpoint.h"

#include "engine/half.h"

static gboolean
is_wide_float (DeimDtype dtype)
{
  return dtype == DEIM_DTYPE_F64 || dtype == DEIM_DTYPE_F32 || dtype == DEIM_DTYPE_BF16;
}

/* NULL if a value is beyond what fits. */
static GBytes *
narrow (const DeimCheckpointTensor *tensor)
{
  g_autofree gfloat *values = g_new (gfloat, MAX (tensor->n_elements, 1));
  g_autofree guint16 *halves = g_new (guint16, MAX (tensor->n_elements, 1));
  deim_checkpoint_tensor_to_float (tensor, values);
  for (gsize i = 0; i < tensor->n_elements; i++) {
    halves[i] = GUINT16_TO_LE (deim_half_from_float (values[i]));
    if ((GUINT16_FROM_LE (halves[i]) & 0x7c00) == 0x7c00)
      return NULL;
  }
  return g_bytes_new_take (g_steal_pointer (&halves), tensor->n_elements * sizeof (guint16));
}

DeimCheckpoint *
deim_checkpoint_narrow (DeimCheckpoint *checkpoint)
{
  DeimCheckpoint *result = deim_checkpoint_new ();
  for (guint i = 0; i < deim_checkpoint_get_n_tensors (checkpoint); i++) {
    const DeimCheckpointTensor *tensor = deim_checkpoint_get (checkpoint, i);
    g_autoptr (GBytes) halves = is_wide_float (tensor->dtype) ? narrow (tensor) : NULL;
    g_autoptr (GBytes) same =
        halves ? NULL : g_bytes_new (tensor->data, tensor->n_elements * deim_dtype_size (tensor->dtype));
    deim_checkpoint_add (result, tensor->name, halves ? DEIM_DTYPE_F16 : tensor->dtype, tensor->n_dims, tensor->shape,
                         halves ? halves : same);
  }
  g_auto (GStrv) keys = deim_checkpoint_list_metadata (checkpoint);
  for (guint i = 0; keys[i]; i++)
    deim_checkpoint_set_metadata (result, keys[i], deim_checkpoint_get_metadata (checkpoint, keys[i]));
  return result;
}
