/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * share.h - how processes, each with its part of one batch, put together what must be known of the whole batch in the
 * middle of a network. Who they are and how they talk is the caller's business.
 */
#pragma once

#include <glib.h>

typedef struct {
  guint count; /* of processes, whose parts are of one size; 0 or 1: there are no others */
  /*
   * Puts the @bytes at @own of every process into @ret_all, in the order of their parts of the batch. All processes
   * call it equally often, each time with the same size. It does not fail: where one of them is lost, all end.
   */
  void (*gather) (gconstpointer own, gsize bytes, gpointer ret_all, gpointer data);
  gpointer data;
} DeimShare;
