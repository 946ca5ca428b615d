/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* safetensors-write.c - a state dict into a .safetensors file; the format is described in safetensors.c. */
#include "safetensors-write.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/error.h"

#define ALIGNMENT 8 /* of the first tensor in the file */

static gsize
tensor_bytes (const DeimCheckpointTensor *tensor)
{
  return tensor->n_elements * deim_dtype_size (tensor->dtype);
}

static gint
compare_widths (gconstpointer a, gconstpointer b)
{
  const DeimCheckpointTensor *x = *(const DeimCheckpointTensor *const *) a;
  const DeimCheckpointTensor *y = *(const DeimCheckpointTensor *const *) b;
  return (gint) deim_dtype_size (y->dtype) - (gint) deim_dtype_size (x->dtype);
}

/* Tensors as they come to lie in the file. */
static GPtrArray *
order_tensors (DeimCheckpoint *checkpoint)
{
  GPtrArray *tensors = g_ptr_array_new ();
  for (guint i = 0; i < deim_checkpoint_get_n_tensors (checkpoint); i++)
    g_ptr_array_add (tensors, (gpointer) deim_checkpoint_get (checkpoint, i));
  g_ptr_array_sort (tensors, compare_widths); /* stable: otherwise in the order of the input */
  return tensors;
}

static void
add_text (JsonBuilder *builder, const gchar *name, const gchar *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static void
add_metadata (JsonBuilder *builder, DeimCheckpoint *checkpoint, const DeimSafetensorsEntry *entries, guint n_entries)
{
  g_auto (GStrv) keys = deim_checkpoint_list_metadata (checkpoint);
  json_builder_set_member_name (builder, "__metadata__");
  json_builder_begin_object (builder);
  for (guint i = 0; keys[i]; i++) {
    gboolean replaced = FALSE;
    for (guint k = 0; k < n_entries; k++)
      replaced |= g_str_equal (keys[i], entries[k].key);
    if (!replaced)
      add_text (builder, keys[i], deim_checkpoint_get_metadata (checkpoint, keys[i]));
  }
  for (guint k = 0; k < n_entries; k++)
    add_text (builder, entries[k].key, entries[k].value);
  json_builder_end_object (builder);
}

static void
add_tensor (JsonBuilder *builder, const DeimCheckpointTensor *tensor, gsize begin)
{
  json_builder_set_member_name (builder, tensor->name);
  json_builder_begin_object (builder);
  add_text (builder, "dtype", deim_safetensors_dtype_name (tensor->dtype));
  json_builder_set_member_name (builder, "shape");
  json_builder_begin_array (builder);
  for (guint i = 0; i < tensor->n_dims; i++)
    json_builder_add_int_value (builder, tensor->shape[i]);
  json_builder_end_array (builder);
  json_builder_set_member_name (builder, "data_offsets");
  json_builder_begin_array (builder);
  json_builder_add_int_value (builder, (gint64) begin);
  json_builder_add_int_value (builder, (gint64) (begin + tensor_bytes (tensor)));
  json_builder_end_array (builder);
  json_builder_end_object (builder);
}

/* The length, the JSON and the padding. */
static GString *
make_header (DeimCheckpoint *checkpoint, const GPtrArray *tensors, const DeimSafetensorsEntry *entries, guint n_entries)
{
  g_autoptr (JsonBuilder) builder = json_builder_new_immutable ();
  gsize at = 0;
  json_builder_begin_object (builder);
  add_metadata (builder, checkpoint, entries, n_entries);
  for (guint i = 0; i < tensors->len; i++) {
    const DeimCheckpointTensor *tensor = g_ptr_array_index (tensors, i);
    add_tensor (builder, tensor, at);
    at += tensor_bytes (tensor);
  }
  json_builder_end_object (builder);

  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  gsize length;
  json_generator_set_root (generator, root);
  g_autofree gchar *json = json_generator_to_data (generator, &length);
  guint64 padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  guint64 little = GUINT64_TO_LE (padded);
  GString *header = g_string_sized_new (8 + padded + 1);
  g_string_append_len (header, (const gchar *) &little, sizeof little);
  g_string_append_len (header, json, (gssize) length);
  while (header->len < 8 + padded)
    g_string_append_c (header, ' ');
  return header;
}

static gboolean
write_all (FILE *file, const GString *header, const GPtrArray *tensors)
{
  if (fwrite (header->str, 1, header->len, file) != header->len)
    return FALSE;
  for (guint i = 0; i < tensors->len; i++) {
    const DeimCheckpointTensor *tensor = g_ptr_array_index (tensors, i);
    gsize size = tensor_bytes (tensor);
    if (size > 0 && fwrite (tensor->data, 1, size, file) != size)
      return FALSE;
  }
  return fflush (file) == 0 && fsync (fileno (file)) == 0;
}

gboolean
deim_safetensors_write (DeimCheckpoint *checkpoint, const DeimSafetensorsEntry *entries, guint n_entries,
                        const gchar *path, GError **error)
{
  g_autoptr (GPtrArray) tensors = order_tensors (checkpoint);
  g_autofree gchar *display = g_filename_display_name (path);
  g_autofree gchar *temporary = g_strconcat (path, ".XXXXXX", NULL);
  gint fd = g_mkstemp_full (temporary, O_WRONLY | O_CLOEXEC, 0666);
  FILE *file = fd >= 0 ? fdopen (fd, "wb") : NULL;
  gboolean good = file != NULL;
  gint code = errno;
  if (good) {
    GString *header = make_header (checkpoint, tensors, entries, n_entries);
    good = write_all (file, header, tensors);
    code = errno;
    g_string_free (header, TRUE);
    if (fclose (file) != 0 && good) {
      good = FALSE;
      code = errno;
    }
    if (good && g_rename (temporary, path) != 0) {
      good = FALSE;
      code = errno;
    }
  } else if (fd >= 0) {
    close (fd);
  }
  if (good)
    return TRUE;
  if (fd >= 0)
    g_unlink (temporary);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s: cannot be written: %s; choose another place", display,
               g_strerror (code));
  return FALSE;
}
