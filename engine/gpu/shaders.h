/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* shaders.h - the SPIR-V that shaders/ was built to, embedded in the library. */
#pragma once

#include <glib.h>

typedef struct {
  const gchar *name; /* "conv.texel" */
  const guint32 *code;
  gsize size; /* bytes */
} DeimShader;

extern const DeimShader deim_shaders[]; /* sorted by name; ends with a NULL name */
extern const guint32 deim_shaders_crc;  /* of all modules: a key for caches */
