/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* model.h - a checkpoint made into graphs: the inside of DeimModel (deim.h). */
#pragma once

#include "engine/deim.h"
#include "engine/formats/checkpoint.h"
#include "engine/models/network.h"

/* Keys of a safetensors file's metadata after which nothing is guessed. */
#define DEIM_METADATA_ARCH   "deim.arch"   /* a spec, see deim_arch_parse_spec() */
#define DEIM_METADATA_LABELS "deim.labels" /* one name a line */

/* From a checkpoint that is read already; takes it over, also on failure. @path appears in messages and is evidence. */
DeimModel *deim_model_new (DeimCheckpoint *checkpoint, const gchar *path, const DeimModelOptions *options,
                           GError **error);

/* The checkpoint that is part of the library. DEIM_ERROR_UNSUPPORTED in a build without it. */
DeimCheckpoint *deim_default_model_open (GError **error);

/* The network for @batch pictures of @height x @width (0: the model's). The graph keeps copies of what it needs of the
 * parameters. Thread-safety: safe. */
DeimGraph *deim_model_build (DeimModel *model, guint batch, guint height, guint width, DeimNetworkOutputs *ret_outputs,
                             GError **error);

/* These belong to the model. */
const DeimArch *deim_model_get_arch (DeimModel *model);
DeimCheckpoint *deim_model_get_checkpoint (DeimModel *model);
DeimParamSource deim_model_get_source (DeimModel *model);
/* Where it was loaded from. */
const gchar *deim_model_get_path (DeimModel *model);
