/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pytorch-zip.c - what torch.save() writes since PyTorch 1.6: a zip archive of
 *
 *     ROOT/data.pkl   the pickle, with storages as persistent ids
 *     ROOT/byteorder  "little" or "big"; since 2.1
 *     ROOT/data/KEY   one entry for each storage, its bytes and nothing else
 *
 * libzip reads the central directory, which alone tells sizes: PyTorch leaves
 * those of the local headers empty. Entries are stored; deflated ones, which
 * other programs make of such a file, are read as well, within bounds.
 */
#include "pytorch.h"

#include <string.h>
#include <zip.h>

#include "engine/error.h"
#include "file.h"
#include "zip-layout.h"

/* How much longer than the file what is read from it may be, for deflated entries: zeros shrink 1000-fold, weights
 * hardly. */
#define MAX_RATIO 16
#define SLACK     (1u << 20)

typedef struct {
  zip_t *zip;
  const gchar *where;
  gchar *root;       /* "ROOT/", owned */
  GHashTable *names; /* set of the entries' names */
  gsize left;        /* bytes that may still be read */
} Archive;

static gboolean G_GNUC_PRINTF (3, 4) refuse (const Archive *archive, GError **error, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: %s", archive->where, text);
  return FALSE;
}

static void
archive_clear (Archive *archive)
{
  if (archive->zip)
    zip_discard (archive->zip);
  g_free (archive->root);
  g_clear_pointer (&archive->names, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Archive, archive_clear)

/* Looks at all entries: names that stand once, methods that can be read. Finds ROOT by its data.pkl. */
static gboolean
survey (Archive *archive, GError **error)
{
  static const gchar pickle[] = "/data.pkl";
  zip_int64_t n = zip_get_num_entries (archive->zip, 0);
  gboolean script = FALSE;
  for (zip_int64_t i = 0; i < n; i++) {
    zip_stat_t stat;
    if (zip_stat_index (archive->zip, (zip_uint64_t) i, ZIP_FL_ENC_RAW, &stat) != 0)
      return refuse (archive, error, "entry %d of the zip archive cannot be read: %s", (gint) i,
                     zip_strerror (archive->zip));
    gsize length = strlen (stat.name);
    g_autofree gchar *quoted = deim_quote (stat.name, length);
    zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if ((stat.valid & needed) != needed)
      return refuse (archive, error, "entry %s of the zip archive says too little about itself", quoted);
    if (stat.encryption_method != ZIP_EM_NONE)
      return refuse (archive, error, "entry %s is encrypted: unpack and pack it without a password", quoted);
    if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE)
      return refuse (archive, error, "entry %s is compressed by method %u; stored and deflated are read here", quoted,
                     stat.comp_method);
    if (!g_hash_table_add (archive->names, g_strdup (stat.name)))
      return refuse (archive, error, "two entries of the zip archive are called %s", quoted);
    if (g_str_has_suffix (stat.name, "/constants.pkl"))
      script = TRUE;
    if (length < sizeof pickle || !g_str_has_suffix (stat.name, pickle))
      continue;
    gsize root_length = length - (sizeof pickle - 1) + 1;
    if (memchr (stat.name, '/', root_length - 1))
      continue; /* deeper down: some package */
    if (archive->root)
      return refuse (archive, error, "the zip archive holds two checkpoints: %s is the second one", quoted);
    archive->root = g_strndup (stat.name, root_length);
  }
  if (!archive->root)
    return refuse (archive, error, "the zip archive holds no ROOT/data.pkl: it is not a PyTorch checkpoint");
  if (script)
    return refuse (archive, error, "this is a TorchScript model: give the checkpoint that it was made from");
  return TRUE;
}

/* The bytes of entry @name. @size: what they must be, or -1 for at most @max. */
static GBytes *
read_entry (Archive *archive, const gchar *name, gint64 size, guint64 max, GError **error)
{
  g_autofree gchar *quoted = deim_quote (name, strlen (name));
  zip_stat_t stat;
  zip_int64_t index = zip_name_locate (archive->zip, name, ZIP_FL_ENC_RAW);
  if (index < 0 || zip_stat_index (archive->zip, (zip_uint64_t) index, 0, &stat) != 0) {
    refuse (archive, error, "the zip archive has no entry %s: " DEIM_FILE_DAMAGED, quoted);
    return NULL;
  }
  if (size >= 0 && stat.size != (guint64) size) {
    refuse (archive, error, "entry %s has %" G_GUINT64_FORMAT " bytes, its tensors need %" G_GINT64_FORMAT, quoted,
            stat.size, size);
    return NULL;
  }
  if (stat.size > max) {
    refuse (archive, error, "entry %s has %" G_GUINT64_FORMAT " bytes, at most %" G_GUINT64_FORMAT " are read", quoted,
            stat.size, max);
    return NULL;
  }
  if (stat.size > archive->left || (stat.comp_method == ZIP_CM_STORE && stat.size != stat.comp_size)) {
    refuse (archive, error,
            "entry %s claims %" G_GUINT64_FORMAT " bytes in %" G_GUINT64_FORMAT ": a damaged file or a zip bomb",
            quoted, stat.size, stat.comp_size);
    return NULL;
  }
  archive->left -= (gsize) stat.size;

  zip_file_t *file = zip_fopen_index (archive->zip, (zip_uint64_t) index, 0);
  if (!file) {
    refuse (archive, error, "entry %s cannot be read: %s", quoted, zip_strerror (archive->zip));
    return NULL;
  }
  guint8 *data = g_malloc (MAX ((gsize) stat.size, 1));
  gsize got = 0;
  zip_int64_t n = 1;
  while (got < stat.size && (n = zip_fread (file, data + got, stat.size - got)) > 0)
    got += (gsize) n;
  guint8 more;
  if (n > 0)
    n = zip_fread (file, &more, 1); /* the end, where libzip compares the CRC */
  if (n < 0)
    refuse (archive, error, "entry %s is damaged: %s", quoted, zip_file_strerror (file));
  else if (got < stat.size)
    refuse (archive, error, "entry %s ends after %zu of its %" G_GUINT64_FORMAT " bytes", quoted, got, stat.size);
  else if (n > 0)
    refuse (archive, error, "entry %s is longer than the %" G_GUINT64_FORMAT " bytes that it claims", quoted,
            stat.size);
  zip_fclose (file);
  if (n != 0 || got < stat.size) {
    g_free (data);
    return NULL;
  }
  return g_bytes_new_take (data, got);
}

static gboolean
fetch (gpointer user_data, DeimTorchStorage *storage, GError **error)
{
  Archive *archive = user_data;
  g_autofree gchar *name = g_strconcat (archive->root, "data/", storage->key, NULL);
  gsize size = storage->n_elements * deim_dtype_size (storage->dtype);
  storage->data = read_entry (archive, name, (gint64) size, G_MAXINT64, error);
  return storage->data != NULL;
}

static gboolean
check_byte_order (Archive *archive, GError **error)
{
  g_autofree gchar *name = g_strconcat (archive->root, "byteorder", NULL);
  if (!g_hash_table_contains (archive->names, name))
    return TRUE; /* before PyTorch 2.1 */
  g_autoptr (GBytes) text = read_entry (archive, name, -1, 64, error);
  if (!text)
    return FALSE;
  gsize size;
  const gchar *order = g_bytes_get_data (text, &size);
  if (size == 6 && memcmp (order, "little", 6) == 0)
    return TRUE;
  g_autofree gchar *quoted = deim_quote (order, size);
  return refuse (archive, error,
                 "the byte order is \"%s\"; only little-endian checkpoints are read: save it anew on a "
                 "little-endian machine",
                 quoted);
}

static gboolean
open_archive (Archive *archive, GBytes *bytes, GError **error)
{
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);
  zip_error_t problem;
  zip_error_init (&problem);
  zip_source_t *source = zip_source_buffer_create (data, size, 0, &problem);
  if (source) {
    archive->zip = zip_open_from_source (source, ZIP_RDONLY, &problem);
    if (!archive->zip)
      zip_source_free (source);
  }
  if (!archive->zip)
    refuse (archive, error, "the zip archive cannot be read (%s): " DEIM_FILE_DAMAGED, zip_error_strerror (&problem));
  zip_error_fini (&problem);
  return archive->zip != NULL;
}

DeimCheckpoint *
deim_pytorch_zip_read (GBytes *bytes, const gchar *name, GError **error)
{
  gsize file_size = g_bytes_get_size (bytes);
  g_auto (Archive) archive = { .where = name, .left = file_size * MAX_RATIO + SLACK };
  archive.names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  if (!deim_zip_check_layout (g_bytes_get_data (bytes, NULL), file_size, name, error) ||
      !open_archive (&archive, bytes, error) || !survey (&archive, error) || !check_byte_order (&archive, error))
    return NULL;

  g_autofree gchar *pickle_name = g_strconcat (archive.root, "data.pkl", NULL);
  g_autoptr (GBytes) pickle_bytes = read_entry (&archive, pickle_name, -1, DEIM_PICKLE_MAX_SIZE, error);
  if (!pickle_bytes)
    return NULL;
  g_autofree gchar *where = g_strdup_printf ("%s: data.pkl", name);
  gsize size;
  const guint8 *data = g_bytes_get_data (pickle_bytes, &size);
  g_autoptr (DeimPickle) pickle = deim_pickle_read (data, size, where, NULL, error);
  if (!pickle)
    return NULL;
  return deim_torch_take_weights (pickle, "PyTorch checkpoint (zip)", file_size * 2 + SLACK, fetch, &archive, name,
                                  error);
}
