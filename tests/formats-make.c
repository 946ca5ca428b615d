/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* formats-make.c - see formats-make.h */
#include "formats-make.h"

#include <string.h>
#include <gio/gio.h>

static const gfloat numbers[] = { 0, 1, 2, 3, 4, 5 };

void
make_raw (GByteArray *out, gconstpointer data, gsize size)
{
  if (size > 0)
    g_byte_array_append (out, data, (guint) size);
}

static void
append (GByteArray *out, guint64 value, guint n)
{
  for (guint i = 0; i < n; i++) {
    guint8 byte = (guint8) (value >> (8 * i));
    g_byte_array_append (out, &byte, 1);
  }
}

void
make_u16 (GByteArray *out, guint value)
{
  append (out, value, 2);
}

void
make_u32 (GByteArray *out, guint32 value)
{
  append (out, value, 4);
}

void
make_u64 (GByteArray *out, guint64 value)
{
  append (out, value, 8);
}

GBytes *
make_bytes (GByteArray *out)
{
  return g_byte_array_free_to_bytes (out);
}

GBytes *
make_safetensors (const gchar *header, gconstpointer data, gsize size)
{
  GByteArray *out = g_byte_array_new ();
  make_u64 (out, strlen (header));
  make_raw (out, header, strlen (header));
  make_raw (out, data, size);
  return make_bytes (out);
}

/* ------------------------------------------------------------------- pickles */

void
pickle_op (GByteArray *out, gchar op)
{
  make_raw (out, &op, 1);
}

void
pickle_begin (GByteArray *out)
{
  make_raw (out, "\x80\x02", 2);
}

void
pickle_end (GByteArray *out)
{
  pickle_op (out, '.');
}

void
pickle_text (GByteArray *out, const gchar *text)
{
  pickle_op (out, 'X');
  make_u32 (out, (guint32) strlen (text));
  make_raw (out, text, strlen (text));
}

void
pickle_int (GByteArray *out, gint64 value)
{
  if (value >= G_MININT32 && value <= G_MAXINT32) {
    pickle_op (out, 'J');
    make_u32 (out, (guint32) value);
  } else {
    make_raw (out, "\x8a\x08", 2);
    make_u64 (out, (guint64) value);
  }
}

void
pickle_global (GByteArray *out, const gchar *module, const gchar *name)
{
  g_autofree gchar *text = g_strdup_printf ("c%s\n%s\n", module, name);
  make_raw (out, text, strlen (text));
}

void
pickle_ints (GByteArray *out, guint n, const gint64 *values)
{
  pickle_op (out, '(');
  for (guint i = 0; i < n; i++)
    pickle_int (out, values[i]);
  pickle_op (out, 't');
}

void
pickle_storage (GByteArray *out, const MakeTensor *tensor)
{
  pickle_op (out, '(');
  pickle_text (out, "storage");
  pickle_global (out, "torch", tensor->type);
  pickle_text (out, tensor->key);
  pickle_text (out, "cuda:0");
  pickle_int (out, tensor->count);
  if (tensor->legacy)
    pickle_op (out, 'N');
  pickle_op (out, 't');
  pickle_op (out, 'Q');
}

void
pickle_tensor (GByteArray *out, const MakeTensor *tensor)
{
  pickle_global (out, "torch._utils", "_rebuild_tensor_v2");
  pickle_op (out, '(');
  pickle_storage (out, tensor);
  pickle_int (out, tensor->offset);
  pickle_ints (out, tensor->n_dims, tensor->shape);
  pickle_ints (out, tensor->n_dims, tensor->stride);
  pickle_op (out, '\x89');
  pickle_global (out, "collections", "OrderedDict");
  make_raw (out, ")RtR", 4);
}

void
pickle_item (GByteArray *out, const gchar *name, const MakeTensor *tensor)
{
  pickle_text (out, name);
  pickle_tensor (out, tensor);
  pickle_op (out, 's');
}

/* ----------------------------------------------------------------------- zip */

static guint32
crc32_of (const guint8 *data, gsize size)
{
  guint32 crc = 0xffffffffu;
  for (gsize i = 0; i < size; i++) {
    crc ^= data[i];
    for (guint bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

/* Raw deflate. */
static GBytes *
deflated (gconstpointer data, gsize size)
{
  g_autoptr (GConverter) converter = G_CONVERTER (g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_RAW, 9));
  gsize capacity = size + 1024, done = 0, left = 0;
  guint8 *out = g_malloc (capacity);
  for (;;) {
    gsize read = 0, written = 0;
    GConverterResult result = g_converter_convert (converter, (const guint8 *) data + left, size - left, out + done,
                                                   capacity - done, G_CONVERTER_INPUT_AT_END, &read, &written, NULL);
    g_assert_cmpint (result, !=, G_CONVERTER_ERROR);
    left += read;
    done += written;
    if (result == G_CONVERTER_FINISHED)
      return g_bytes_new_take (out, done);
  }
}

GBytes *
make_zip (const MakeEntry *entries, guint n)
{
  GByteArray *out = g_byte_array_new ();
  g_autoptr (GByteArray) directory = g_byte_array_new ();
  for (guint i = 0; i < n; i++) {
    const MakeEntry *entry = &entries[i];
    g_autoptr (GBytes) packed =
        entry->deflate ? deflated (entry->data, entry->size) : g_bytes_new_static (entry->data, entry->size);
    guint32 offset = entry->offset_claim ? entry->offset_claim - 1 : out->len;
    guint32 crc = entry->crc ? entry->crc : crc32_of (entry->data, entry->size);
    guint32 packed_size = entry->packed_claim ? entry->packed_claim : (guint32) g_bytes_get_size (packed);
    guint32 size = entry->size_claim ? entry->size_claim : (guint32) entry->size;
    guint method = entry->method ? entry->method : entry->deflate ? 8 : 0;
    guint flags = entry->flags | (entry->descriptor ? 0x0808 : 0);
    guint name_length = (guint) strlen (entry->name);

    make_raw (out, "PK\x03\x04", 4);
    make_u16 (out, 20);
    make_u16 (out, flags);
    make_u16 (out, method);
    make_u32 (out, 0x00210000); /* 1980-01-01 */
    make_u32 (out, entry->descriptor ? 0 : crc);
    make_u32 (out, entry->descriptor ? 0 : packed_size);
    make_u32 (out, entry->descriptor ? 0 : size);
    make_u16 (out, name_length);
    make_u16 (out, 0);
    make_raw (out, entry->name, name_length);
    make_raw (out, g_bytes_get_data (packed, NULL), g_bytes_get_size (packed));
    if (entry->descriptor) {
      make_raw (out, "PK\x07\x08", 4);
      make_u32 (out, crc);
      make_u32 (out, packed_size);
      make_u32 (out, size);
    }

    make_raw (directory, "PK\x01\x02", 4);
    make_u16 (directory, 20);
    make_u16 (directory, 20);
    make_u16 (directory, flags);
    make_u16 (directory, method);
    make_u32 (directory, 0x00210000);
    make_u32 (directory, crc);
    make_u32 (directory, packed_size);
    make_u32 (directory, size);
    make_u16 (directory, name_length);
    make_raw (directory, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    make_u32 (directory, offset);
    make_raw (directory, entry->name, name_length);
  }
  guint32 at = out->len;
  make_raw (out, directory->data, directory->len);
  make_raw (out, "PK\x05\x06\0\0\0\0", 8);
  make_u16 (out, n);
  make_u16 (out, n);
  make_u32 (out, directory->len);
  make_u32 (out, at);
  make_u16 (out, 0);
  return make_bytes (out);
}

GBytes *
make_pytorch (GByteArray *pickle, guint n_storages, gconstpointer data, gsize size)
{
  static const gchar *const names[] = { "x/data/0", "x/data/1", "x/data/2", "x/data/3" };
  MakeEntry entries[6] = {
    { .name = "x/data.pkl", .data = pickle->data, .size = pickle->len, .descriptor = TRUE },
    { .name = "x/byteorder", .data = "little", .size = 6, .descriptor = TRUE },
  };
  for (guint i = 0; i < n_storages; i++)
    entries[2 + i] = (MakeEntry){ .name = names[i], .data = data, .size = size, .descriptor = TRUE };
  GBytes *out = make_zip (entries, 2 + n_storages);
  g_byte_array_unref (pickle);
  return out;
}

/* ---------------------------------------------------------------- before 1.6 */

GBytes *
make_legacy (GByteArray *pickle, const gchar *keys, guint64 count, gconstpointer data, gsize size)
{
  GByteArray *out = g_byte_array_new ();
  make_raw (out, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  make_raw (out, "\x80\x02M\xe9\x03.", 6);
  pickle_begin (out);
  pickle_op (out, '}');
  pickle_text (out, "little_endian");
  make_raw (out, "\x88s.", 3);
  make_raw (out, pickle->data, pickle->len);
  g_byte_array_unref (pickle);

  g_auto (GStrv) list = g_strsplit (keys, ";", -1);
  pickle_begin (out);
  pickle_op (out, ']');
  for (guint i = 0; list[i]; i++) {
    pickle_text (out, list[i]);
    pickle_op (out, 'a');
  }
  pickle_end (out);
  for (guint i = 0; list[i]; i++) {
    make_u64 (out, count);
    make_raw (out, data, size);
  }
  return make_bytes (out);
}

/* --------------------------------------------------------------- small files */

GBytes *
make_small_safetensors (void)
{
  static const gchar header[] = "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"a \\\"b\\\" {[\"},"
                                "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                                "\"b.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,36]}}  ";
  gfloat data[9];
  memcpy (data, numbers, sizeof numbers);
  memcpy (data + 6, numbers, 12);
  return make_safetensors (header, data, sizeof data);
}

/* Both tensors lie in one storage, as in a file with shared weights. */
GByteArray *
make_small_pickle (gboolean legacy)
{
  MakeTensor a = { "0", "FloatStorage", 6, 0, 2, { 2, 3 }, { 3, 1 }, legacy };
  MakeTensor b = { "0", "FloatStorage", 6, 0, 1, { 3 }, { 1 }, legacy };
  GByteArray *pickle = g_byte_array_new ();
  pickle_begin (pickle);
  pickle_op (pickle, '}');
  pickle_item (pickle, "a.weight", &a);
  pickle_item (pickle, "b.bias", &b);
  pickle_end (pickle);
  return pickle;
}

GBytes *
make_small_zip (gboolean deflate)
{
  if (!deflate)
    return make_pytorch (make_small_pickle (FALSE), 1, numbers, sizeof numbers);
  g_autoptr (GByteArray) pickle = make_small_pickle (FALSE);
  const MakeEntry entries[] = {
    { .name = "x/data.pkl", .data = pickle->data, .size = pickle->len, .deflate = TRUE },
    { .name = "x/data/0", .data = numbers, .size = sizeof numbers, .deflate = TRUE },
  };
  return make_zip (entries, G_N_ELEMENTS (entries));
}

GBytes *
make_small_legacy (void)
{
  return make_legacy (make_small_pickle (TRUE), "0", 6, numbers, sizeof numbers);
}
