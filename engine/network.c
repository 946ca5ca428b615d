/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.c - raw tensors through a model: what `deim run` and parity tests use. */
#include "device.h"
#include "engine/graph/op.h"
#include "executor.h"
#include "model.h"

struct _DeimNetwork {
  DeimDevice *device;
  DeimExecutor *executor;
  DeimRun *run;
  DeimNetworkOutputs outputs;
  gfloat *logits, *boxes; /* as the device has them: [n][c][q] */
  gint32 *tokens;
};

DeimNetwork *
deim_network_new (DeimModel *model, DeimDevice *device, guint batch, guint height, guint width, DeimPrecision precision,
                  GError **error)
{
  const DeimModelInfo *info = deim_model_get_info (model);
  if (!deim_device_check (device, precision, &precision, error))
    return NULL;
  DeimNetwork *self = g_new0 (DeimNetwork, 1);
  self->device = deim_device_ref (device);
  DeimGraph *graph = deim_model_build (model, batch, height ? height : info->input_height,
                                       width ? width : info->input_width, &self->outputs, error);
  if (!graph)
    goto fail;
  self->executor =
      deim_executor_new (deim_device_get_gpu (device), graph, precision, TRUE, deim_device_get_tuning (device), error);
  if (!self->executor)
    goto fail;
  self->run = deim_run_new (self->executor, DEIM_RUN_HOST_INPUTS, error);
  if (!self->run)
    goto fail;
  self->logits = g_new (gfloat, deim_shape_size (self->outputs.logits->shape));
  self->boxes = g_new (gfloat, deim_shape_size (self->outputs.boxes->shape));
  self->tokens = g_new (gint32, deim_shape_size (self->outputs.tokens->shape));
  return self;

fail:
  deim_network_free (self);
  return NULL;
}

void
deim_network_free (DeimNetwork *self)
{
  if (!self)
    return;
  deim_run_free (self->run);
  deim_executor_free (self->executor);
  deim_device_unref (self->device);
  g_free (self->logits);
  g_free (self->boxes);
  g_free (self->tokens);
  g_free (self);
}

/* [n][c][q] -> [n][q][c] */
static void
rows_from_columns (const gfloat *columns, DeimShape shape, gfloat *rows)
{
  for (gint n = 0; n < shape.n; n++)
    for (gint q = 0; q < shape.w; q++)
      for (gint c = 0; c < shape.c; c++)
        *rows++ = columns[((gsize) n * shape.c + c) * shape.w + q];
}

gboolean
deim_network_run (DeimNetwork *self, const gfloat *input, gfloat *logits, gfloat *boxes, gint64 *tokens, GError **error)
{
  const DeimNetworkOutputs *out = &self->outputs;
  deim_run_write (self->run, out->input, input);
  if (!deim_run_execute (self->run, error))
    return FALSE;
  if (logits) {
    deim_run_read (self->run, out->logits, self->logits);
    rows_from_columns (self->logits, out->logits->shape, logits);
  }
  if (boxes) {
    deim_run_read (self->run, out->boxes, self->boxes);
    rows_from_columns (self->boxes, out->boxes->shape, boxes);
  }
  if (tokens) {
    deim_run_read (self->run, out->tokens, self->tokens);
    for (gsize i = 0; i < deim_shape_size (out->tokens->shape); i++)
      tokens[i] = self->tokens[i] / out->token_divide;
  }
  return TRUE;
}
