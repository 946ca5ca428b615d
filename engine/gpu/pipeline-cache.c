/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pipeline-cache.c - the file that keeps a VkPipelineCache between runs:
 * a header of our own, then the driver's blob.
 *
 * Drivers have crashed on blobs that were damaged or another driver's (ncnn
 * keeps a flag for such drivers), so a blob is handed over only when its
 * checksum is right and everything that may change its meaning is equal:
 * device, driver, and the SPIR-V of this build. Anything else is as good as no
 * file. The numbers are in host order: a file of another machine does not match.
 */
#include "gpu-private.h"

#include <errno.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/error.h"
#include "shaders.h"

#define MAGIC       "deimPSO"
#define VERSION     1
#define MAX_ON_DISK ((gsize) 256 << 20)

typedef struct {
  gchar magic[8];
  guint32 version;
  guint32 header_size;
  guint32 vendor_id, device_id;
  guint32 driver_version, driver_id;
  guint8 driver_uuid[16];
  guint8 cache_uuid[16];
  guint32 shaders_crc;
  guint32 pointer_size; /* 32- and 64-bit programs may share a home folder */
  guint64 payload_size;
  guint64 payload_checksum;
} Header;

G_STATIC_ASSERT (sizeof (Header) == 88); /* no padding: headers are compared as bytes */

/* FNV-1a, 64 bits; never 0. */
guint64
deim_pipeline_cache_checksum (gconstpointer payload, gsize size)
{
  const guint8 *bytes = payload;
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325);
  for (gsize i = 0; i < size; i++)
    hash = (hash ^ bytes[i]) * G_GUINT64_CONSTANT (0x100000001b3);
  return hash ? hash : 1;
}

static void
fill_header (Header *header, const DeimGpuProperties *properties, guint64 size, guint64 checksum)
{
  memset (header, 0, sizeof *header);
  memcpy (header->magic, MAGIC, sizeof MAGIC);
  header->version = VERSION;
  header->header_size = sizeof *header;
  header->vendor_id = properties->vendor_id;
  header->device_id = properties->device_id;
  header->driver_version = properties->driver_version;
  header->driver_id = properties->driver_id;
  memcpy (header->driver_uuid, properties->driver_uuid, sizeof header->driver_uuid);
  memcpy (header->cache_uuid, properties->cache_uuid, sizeof header->cache_uuid);
  header->shaders_crc = deim_shaders_crc;
  header->pointer_size = sizeof (gpointer);
  header->payload_size = size;
  header->payload_checksum = checksum;
}

/* One file per device and driver; what changes with an update is in the header, so that an update overwrites it. */
gchar *
deim_pipeline_cache_path (const DeimGpuProperties *properties, const gchar *cache_dir)
{
  g_autofree gchar *folder =
      cache_dir ? g_strdup (cache_dir) : g_build_filename (g_get_user_cache_dir (), "gst-deim", NULL);
  g_autofree gchar *key =
      g_strdup_printf ("%08x %08x %u %" G_GSIZE_FORMAT " %s", properties->vendor_id, properties->device_id,
                       properties->driver_id, sizeof (gpointer), properties->name);
  g_autofree gchar *name =
      g_strdup_printf ("pipelines-%016" G_GINT64_MODIFIER "x.bin", deim_pipeline_cache_checksum (key, strlen (key)));
  return g_build_filename (folder, name, NULL);
}

/* The driver's blob begins with a header of the specification's; drivers check it, not all of them well. */
static gboolean
is_payload_ours (const guint8 *payload, gsize size, const DeimGpuProperties *properties)
{
  VkPipelineCacheHeaderVersionOne header;
  if (size < sizeof header)
    return FALSE;
  memcpy (&header, payload, sizeof header);
  return header.headerSize >= sizeof header && header.headerSize <= size &&
         header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE && header.vendorID == properties->vendor_id &&
         header.deviceID == properties->device_id &&
         memcmp (header.pipelineCacheUUID, properties->cache_uuid, VK_UUID_SIZE) == 0;
}

GBytes *
deim_pipeline_cache_read (const gchar *path, const DeimGpuProperties *properties, guint64 *ret_checksum)
{
  GStatBuf info;
  if (g_stat (path, &info) != 0)
    return NULL; /* the first start */
  gchar *content = NULL;
  gsize size = 0;
  g_autoptr (GError) problem = NULL;
  if (info.st_size < (goffset) sizeof (Header) || info.st_size > (goffset) MAX_ON_DISK ||
      !g_file_get_contents (path, &content, &size, &problem)) {
    deim_info ("the pipeline cache %s is not used: %s", path, problem ? problem->message : "its size is impossible");
    return NULL;
  }
  g_autoptr (GBytes) whole = g_bytes_new_take (content, size);
  if (size < sizeof (Header)) /* it may have changed since g_stat() */
    return NULL;

  const guint8 *payload = (const guint8 *) content + sizeof (Header);
  gsize payload_size = size - sizeof (Header);
  guint64 checksum = deim_pipeline_cache_checksum (payload, payload_size);
  Header expected;
  fill_header (&expected, properties, payload_size, checksum);
  if (memcmp (content, &expected, sizeof expected) != 0 || !is_payload_ours (payload, payload_size, properties)) {
    deim_info ("the pipeline cache %s is of another driver or build, or damaged: it will be replaced", path);
    return NULL;
  }
  *ret_checksum = checksum;
  return g_bytes_new_from_bytes (whole, sizeof (Header), payload_size);
}

/* The folder of @path, made when it is not there. */
static gchar *
make_folder (const gchar *path, GError **error)
{
  g_autofree gchar *folder = g_path_get_dirname (path);
  if (g_mkdir_with_parents (folder, 0700) == 0)
    return g_steal_pointer (&folder);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "the folder %s cannot be made: %s", folder, g_strerror (errno));
  return NULL;
}

gboolean
deim_pipeline_cache_check (const gchar *path, GError **error)
{
  g_autofree gchar *folder = make_folder (path, error);
  if (!folder)
    return FALSE;
  /* Permissions alone do not say it: file systems are read-only, or full. */
  g_autofree gchar *trial = g_build_filename (folder, "trial-XXXXXX", NULL);
  gint fd = g_mkstemp (trial);
  if (fd < 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "the folder %s cannot be written: %s", folder,
                 g_strerror (errno));
    return FALSE;
  }
  close (fd);
  g_unlink (trial);
  return TRUE;
}

gboolean
deim_pipeline_cache_write (const gchar *path, const DeimGpuProperties *properties, gconstpointer payload, gsize size,
                           GError **error)
{
  g_autofree gchar *folder = make_folder (path, error);
  if (!folder)
    return FALSE;
  Header header;
  fill_header (&header, properties, size, deim_pipeline_cache_checksum (payload, size));
  g_autoptr (GByteArray) content = g_byte_array_sized_new ((guint) (sizeof header + size));
  g_byte_array_append (content, (const guint8 *) &header, sizeof header);
  g_byte_array_append (content, payload, (guint) size);
  /* Written beside it and renamed over it: another process reads the old file or the new one. */
  return g_file_set_contents_full (path, (const gchar *) content->data, content->len, G_FILE_SET_CONTENTS_CONSISTENT,
                                   0600, error);
}
