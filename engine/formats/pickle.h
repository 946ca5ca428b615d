/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pickle.h - a reader for the pickles that torch.save() writes. It is a stack
 * machine over a fixed list of opcodes and a fixed list of globals
 * (pickle-globals.c), builds plain values and calls nothing: a pickle that asks
 * for anything else is refused, and the message says what it asked for.
 *
 * Values live in an arena that dies with the pickle, so that neither depth nor
 * a cycle (a list that holds itself is legal) can hurt: nothing here walks a
 * value, and callers must not do so without a bound either. The arena is at most
 * DEIM_PICKLE_EXPANSION times as large as the pickle.
 */
#pragma once

#include "checkpoint.h"

/* An opcode of one byte makes a value of 32 bytes, and two entries of 8 in lists that grow by doubling. */
#define DEIM_PICKLE_EXPANSION 64

/* The longest pickle: one of a training checkpoint of the largest detector takes less than 1 MiB. */
#define DEIM_PICKLE_MAX_SIZE (64u << 20)

typedef enum {
  DEIM_PICKLE_NONE,
  DEIM_PICKLE_BOOL,    /* integer */
  DEIM_PICKLE_INT,     /* integer */
  DEIM_PICKLE_LONG,    /* bytes: an integer of more than 64 bits, little endian */
  DEIM_PICKLE_FLOAT,   /* no payload: no caller needs one */
  DEIM_PICKLE_STRING,  /* bytes: UTF-8 */
  DEIM_PICKLE_BYTES,   /* bytes */
  DEIM_PICKLE_TUPLE,   /* list */
  DEIM_PICKLE_LIST,    /* list; sets as well */
  DEIM_PICKLE_DICT,    /* list: key, value, key, value ... in the order of writing */
  DEIM_PICKLE_GLOBAL,  /* global */
  DEIM_PICKLE_STORAGE, /* storage */
  DEIM_PICKLE_TENSOR,  /* tensor */
  DEIM_PICKLE_OPAQUE,  /* an object of a class that is known and of no interest */
} DeimPickleKind;

typedef struct _DeimPickle DeimPickle;
typedef struct _DeimPickleValue DeimPickleValue;
typedef struct _DeimPickleGlobal DeimPickleGlobal;

/* One storage of the file, whoever views it. */
typedef struct {
  gchar *key; /* its name in the container */
  DeimDtype dtype;
  gsize n_elements;
  GBytes *data; /* NULL until the container provides it; n_elements * deim_dtype_size (dtype) bytes */
} DeimTorchStorage;

/* A part of a storage: all of it, but for views in files of PyTorch 0.3 and before. */
typedef struct {
  DeimTorchStorage *storage;
  gsize offset, n_elements;
} DeimTorchView;

/* Strides count elements. Not checked against the storage yet. */
typedef struct {
  DeimTorchView view;
  gint64 offset;
  guint n_dims;
  gint64 shape[DEIM_CHECKPOINT_MAX_DIMS];
  gint64 stride[DEIM_CHECKPOINT_MAX_DIMS];
} DeimTorchTensor;

struct _DeimPickleValue {
  DeimPickleKind kind;
  union {
    gint64 integer;
    struct {
      const guint8 *data; /* in the pickle itself: no zero at the end */
      gsize size;
    } bytes;
    struct {
      DeimPickleValue **items;
      guint n, capacity;
    } list;
    const DeimPickleGlobal *global;
    DeimTorchView *view;
    DeimTorchTensor *tensor;
  };
};

/*
 * Runs the pickle at the beginning of @data, which must outlive the result.
 * @where begins the messages ("x.pth: data.pkl"). @ret_used: (nullable): the
 * bytes up to and with STOP.
 */
DeimPickle *deim_pickle_read (const guint8 *data, gsize size, const gchar *where, gsize *ret_used, GError **error);
void deim_pickle_free (DeimPickle *pickle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimPickle, deim_pickle_free)

/* What the pickle pickled. */
const DeimPickleValue *deim_pickle_root (DeimPickle *pickle);

/* The storages that it mentions, in the order of their first mention; NULL for an unknown key. */
guint deim_pickle_get_n_storages (DeimPickle *pickle);
DeimTorchStorage *deim_pickle_get_storage (DeimPickle *pickle, guint index);
DeimTorchStorage *deim_pickle_find_storage (DeimPickle *pickle, const guint8 *key, gsize length);

/* The value of @key in a dict, NULL if @dict is no dict (or NULL) or has no such key. Linear in its size. */
const DeimPickleValue *deim_pickle_dict_get (const DeimPickleValue *dict, const gchar *key);

/* Whether the value is the text @text. */
gboolean deim_pickle_is_text (const DeimPickleValue *value, const gchar *text);
