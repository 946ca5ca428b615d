/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* model-default.c - the model that is part of the library (models/README.md). */
#include "engine/error.h"
#include "engine/model.h"

#ifdef DEIM_HAVE_DEFAULT_MODEL
#include <models/default-model.h>
#endif

DeimCheckpoint *
deim_default_model_open (GError **error)
{
#ifdef DEIM_HAVE_DEFAULT_MODEL
  g_autoptr (GBytes) bytes = g_resource_lookup_data (deim_default_model_get_resource (), "/deim/default.safetensors",
                                                     G_RESOURCE_LOOKUP_FLAGS_NONE, error);
  return bytes ? deim_checkpoint_parse (bytes, DEIM_MODEL_DEFAULT, error) : NULL;
#else
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
               "this build has no model of its own (default_model=disabled); give a .safetensors or .pth checkpoint of "
               "DEIM, DEIMv2, D-FINE or RT-DETR");
  return NULL;
#endif
}
