/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * checkpoint.h - a state dict in memory: named tensors and string metadata,
 * whatever file it came from.
 *
 * Readers: safetensors.c, pytorch-*.c (zip and pre-1.6 form, through pickle.c),
 * onnx*.c (official exports, whose initializers get their official names back).
 * They share one promise: a file is data. Nothing in it is executed, nothing
 * in it makes the reader crash, loop or allocate more than a small multiple of
 * the file's own size, and a file that breaks a rule yields one DEIM_ERROR_FORMAT
 * that names the rule, the tensor or the offset.
 */
#pragma once

#include <glib.h>

#define DEIM_CHECKPOINT_MAX_DIMS 8

typedef enum {
  DEIM_DTYPE_F32,
  DEIM_DTYPE_F16,
  DEIM_DTYPE_BF16,
  DEIM_DTYPE_F64,
  DEIM_DTYPE_I64,
  DEIM_DTYPE_I32,
  DEIM_DTYPE_I16,
  DEIM_DTYPE_I8,
  DEIM_DTYPE_U8,
  DEIM_DTYPE_BOOL,
} DeimDtype;

/* One tensor, contiguous in C order, little endian. All pointers belong to the checkpoint. */
typedef struct {
  const gchar *name; /* official name, without any "module." prefix */
  DeimDtype dtype;
  guint n_dims; /* 0 for a scalar */
  gint64 shape[DEIM_CHECKPOINT_MAX_DIMS];
  gsize n_elements;   /* 1 for a scalar */
  const guint8 *data; /* n_elements * deim_dtype_size (dtype) bytes, any alignment */
} DeimCheckpointTensor;

typedef struct _DeimCheckpoint DeimCheckpoint;

gsize deim_dtype_size (DeimDtype dtype);
const gchar *deim_dtype_name (DeimDtype dtype);

/*
 * Opens @path by its content, not its name. Of a training checkpoint the
 * weights are taken from "ema.module", else "model", else "state_dict", else
 * the top level; a "module." prefix common to all names is removed. Tensors
 * that share a storage each get an entry. Errors: DEIM_ERROR_NOT_FOUND,
 * DEIM_ERROR_READ, DEIM_ERROR_FORMAT.
 */
DeimCheckpoint *deim_checkpoint_open (const gchar *path, GError **error);

/* The same from memory (for tests and fuzzers); @name appears in messages. Takes a reference on @bytes. */
DeimCheckpoint *deim_checkpoint_parse (GBytes *bytes, const gchar *name, GError **error);

/* An empty checkpoint to be filled by deim_checkpoint_add() (tests make weights so). */
DeimCheckpoint *deim_checkpoint_new (void);
void deim_checkpoint_add (DeimCheckpoint *checkpoint, const gchar *name, DeimDtype dtype, guint n_dims,
                          const gint64 *shape, GBytes *data);

/* A copy in which floats are binary16, rounded to nearest even, but in tensors that hold a number beyond its range,
 * which stay as they are (anchors' infinity). (transfer full) */
DeimCheckpoint *deim_checkpoint_narrow (DeimCheckpoint *checkpoint);
void deim_checkpoint_free (DeimCheckpoint *checkpoint);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimCheckpoint, deim_checkpoint_free)

/* Tensors in file order; lookup by name is O(1), NULL if absent. Thread-safety: safe once opened. */
guint deim_checkpoint_get_n_tensors (DeimCheckpoint *checkpoint);
const DeimCheckpointTensor *deim_checkpoint_get (DeimCheckpoint *checkpoint, guint index);
const DeimCheckpointTensor *deim_checkpoint_lookup (DeimCheckpoint *checkpoint, const gchar *name);

/* Free-form string metadata (safetensors "__metadata__"), NULL if absent. */
const gchar *deim_checkpoint_get_metadata (DeimCheckpoint *checkpoint, const gchar *key);
void deim_checkpoint_set_metadata (DeimCheckpoint *checkpoint, const gchar *key, const gchar *value);
/* Its keys, sorted, NULL-terminated. Free with g_strfreev(). */
gchar **deim_checkpoint_list_metadata (DeimCheckpoint *checkpoint);

/* Where the weights were found, for people: "ema.module of a PyTorch checkpoint (zip)". */
const gchar *deim_checkpoint_get_source (DeimCheckpoint *checkpoint);

/* What the operators of an ONNX export show of its network beside the tensors, "act=silu,queries=300,frozen=0", as
 * deim_arch_parse_options() takes it; NULL for other files, or where they show nothing. */
const gchar *deim_checkpoint_get_operators (DeimCheckpoint *checkpoint);

/* Converts any dtype to float32; @out has n_elements places. Half and bfloat16 are exact. */
void deim_checkpoint_tensor_to_float (const DeimCheckpointTensor *tensor, gfloat *out);
