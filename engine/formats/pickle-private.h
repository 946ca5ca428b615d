/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pickle-private.h - what the three parts of the pickle reader share: pickle.c
 * (memory and results), pickle-machine.c (opcodes) and pickle-globals.c (what
 * may be named and called).
 */
#pragma once

#include "pickle.h"

#define DEIM_PICKLE_CHUNK 4096

struct _DeimPickle {
  const guint8 *data;
  gsize size;
  gsize at; /* the byte to be read next */
  gsize opcode_at;
  gchar *where;
  GError *error;

  GPtrArray *stack; /* of DeimPickleValue */
  GArray *marks;    /* of guint: heights of the stack; nothing below the last one can be popped */
  GPtrArray *memo;  /* of DeimPickleValue or NULL */
  DeimPickleValue *root;

  GPtrArray *chunks; /* the arena */
  guint8 *free;      /* the rest of the last chunk */
  gsize free_size;
  gsize allocated;

  GPtrArray *storages;        /* of DeimTorchStorage, owned */
  GHashTable *storage_by_key; /* key of the storage -> storage */
};

/* A new value of @kind; NULL with the error set if the arena is full. */
DeimPickleValue *deim_pickle_new_value (DeimPickle *pickle, DeimPickleKind kind);
gboolean deim_pickle_list_add (DeimPickle *pickle, DeimPickleValue *list, DeimPickleValue *item);
/* The same for @n items. */
gboolean deim_pickle_list_append (DeimPickle *pickle, DeimPickleValue *list, gpointer *items, guint n);
gpointer deim_pickle_alloc (DeimPickle *pickle, gsize size);

/* Sets the error of the run, with the position in the pickle. Returns FALSE. */
gboolean deim_pickle_fail (DeimPickle *pickle, const gchar *format, ...) G_GNUC_PRINTF (2, 3);

/* NULL with the error set for a global that is not in the list. */
const DeimPickleGlobal *deim_pickle_global (DeimPickle *pickle, const gchar *module, gsize module_length,
                                            const gchar *name, gsize name_length);

/* What calling @callable with the tuple @args gives: REDUCE and NEWOBJ. NULL with the error set. */
DeimPickleValue *deim_pickle_call (DeimPickle *pickle, const DeimPickleValue *callable, const DeimPickleValue *args);

/* The storage that a persistent id names: BINPERSID. NULL with the error set. */
DeimPickleValue *deim_pickle_persistent (DeimPickle *pickle, const DeimPickleValue *id);

/* The storage called @key, made on its first mention; NULL with the error set when the mentions differ. */
DeimTorchStorage *deim_pickle_add_storage (DeimPickle *pickle, const DeimPickleValue *key, DeimDtype dtype,
                                           gsize n_elements);

/* Runs the whole pickle into pickle->root. */
gboolean deim_pickle_run (DeimPickle *pickle);
