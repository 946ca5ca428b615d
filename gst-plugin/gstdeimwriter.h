/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimwriter.h - lines of text to a file, a pipe or the standard output.
 *
 * Each line is given to the system at once and not kept. Where a reader is slow, writing waits; a writer can be told to
 * wait no longer, and then the line that it began is finished before the next one is written, by whoever writes it.
 *
 * Lines of all writers of this process that go to the same file, pipe or terminal stay whole (gstdeimoutput.h). Those
 * of other processes do so too up to PIPE_BUF (4096) bytes, which is what the system promises.
 *
 * Thread-safety: gst_deim_writer_set_flushing() from any thread, everything else from one at a time.
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _GstDeimWriter GstDeimWriter;

/*
 * gst_deim_writer_new:
 * @location: a path, or "-" for the standard output, which must not be closed. A named pipe must have a reader by now.
 * @append: keep what a file holds; it is kept too where another writer of this process has the file open
 *
 * Errors are in the domain GST_RESOURCE_ERROR.
 */
GstDeimWriter *gst_deim_writer_new (const gchar *location, gboolean append, GError **error);
void gst_deim_writer_free (GstDeimWriter *writer);

/* Waiting ends now, and there is none, until it is set back. */
void gst_deim_writer_set_flushing (GstDeimWriter *writer, gboolean flushing);

/* Writes @line, which ends with a newline. GST_FLOW_FLUSHING: it could not be written without waiting. */
GstFlowReturn gst_deim_writer_write (GstDeimWriter *writer, const GString *line, GError **error);

G_END_DECLS
