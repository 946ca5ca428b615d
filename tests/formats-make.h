/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * formats-make.h - makes checkpoint files in memory, right ones and wrong ones,
 * for the tests and the seeds of the fuzzers. Shared by both, and written
 * without the readers under test.
 */
#pragma once

#include <glib.h>

/* Little-endian numbers. */
void make_u16 (GByteArray *out, guint value);
void make_u32 (GByteArray *out, guint32 value);
void make_u64 (GByteArray *out, guint64 value);
void make_raw (GByteArray *out, gconstpointer data, gsize size);
GBytes *make_bytes (GByteArray *out); /* (transfer full) of @out too */

/* A safetensors file: @header is the JSON, @data follows it. */
GBytes *make_safetensors (const gchar *header, gconstpointer data, gsize size);

/* Opcodes. */
void pickle_begin (GByteArray *out);                   /* PROTO 2 */
void pickle_op (GByteArray *out, gchar op);            /* one without an argument */
void pickle_text (GByteArray *out, const gchar *text); /* BINUNICODE */
void pickle_int (GByteArray *out, gint64 value);       /* BININT, or LONG1 if it does not fit */
void pickle_global (GByteArray *out, const gchar *module, const gchar *name);
void pickle_ints (GByteArray *out, guint n, const gint64 *values); /* a tuple */
void pickle_end (GByteArray *out);                                 /* STOP */

/* What a tensor is made of. */
typedef struct {
  const gchar *key;  /* of the storage */
  const gchar *type; /* "FloatStorage" */
  gint64 count;      /* elements of the storage */
  gint64 offset;
  guint n_dims;
  gint64 shape[10], stride[10];
  gboolean legacy; /* a sixth member, None, in the persistent id */
} MakeTensor;

void pickle_storage (GByteArray *out, const MakeTensor *tensor); /* the persistent id alone */
void pickle_tensor (GByteArray *out, const MakeTensor *tensor);

/* Key and tensor, as an item of a dict that SETITEM takes. */
void pickle_item (GByteArray *out, const gchar *name, const MakeTensor *tensor);

/* One entry of a zip archive. Zero means the truth. */
typedef struct {
  const gchar *name;
  gconstpointer data;
  gsize size;
  gboolean deflate;
  guint method; /* what is claimed instead */
  guint32 crc;  /* likewise */
  guint32 size_claim, packed_claim, offset_claim;
  guint flags;
  gboolean descriptor; /* sizes of the local header are 0, as PyTorch leaves them */
} MakeEntry;

GBytes *make_zip (const MakeEntry *entries, guint n);

/* ROOT/data.pkl and up to four storages "0", "1", ... of the same bytes. */
GBytes *make_pytorch (GByteArray *pickle, guint n_storages, gconstpointer data, gsize size);

/* The container of before 1.6: @pickle, then the storages @keys (";" between them) of @count elements of @data each. */
GBytes *make_legacy (GByteArray *pickle, const gchar *keys, guint64 count, gconstpointer data, gsize size);

/* Small right files with two tensors: "a.weight" [2,3] and "b.bias" [3], values 0..5 and 0..2, float32. */
GBytes *make_small_safetensors (void);
GBytes *make_small_zip (gboolean deflate);
GBytes *make_small_legacy (void);
GByteArray *make_small_pickle (gboolean legacy);
