/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimoutput.h - an open file, pipe or terminal as all that write to it in this process share it: one of them at a
 * time, in the order in which they came, and so line by line. A pipe takes more than PIPE_BUF (4096) bytes in parts,
 * between which another's would land.
 *
 * Two file descriptors are the same output where their device and inode are. Another process knows nothing of it.
 *
 * Thread-safety: safe.
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct {
  GMutex lock;
  GCond changed;
  GQueue turns;     /* lock: of gpointer: who is writing, and behind it who waits */
  GString *rest;    /* whoever is writing: what is left of a line that was broken off; it comes before all else */
  guint64 dev, ino; /* constant */
  guint users;      /* the registry's lock */
} GstDeimOutput;

/* The output that @fd is open on. @ret_first: whether nobody else in this process has it. NULL with errno. */
GstDeimOutput *gst_deim_output_get (gint fd, gboolean *ret_first);
void gst_deim_output_unref (GstDeimOutput *output);

/* Waits until @who may write; FALSE where @flushing says that it is to wait no longer: then it may not. @who: anything
 * that is nobody else's. @flushing is under the output's lock. */
gboolean gst_deim_output_begin (GstDeimOutput *output, gpointer who, const gboolean *flushing);
void gst_deim_output_end (GstDeimOutput *output, gpointer who);

/* Sets @flushing, that of somebody who may be waiting, who then looks at it. */
void gst_deim_output_set_flushing (GstDeimOutput *output, gboolean *flushing, gboolean value);

G_END_DECLS
