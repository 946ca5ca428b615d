/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory.c - buffers with memory of their own. There are few of them (weights,
 * arena, frames, results), so each has an allocation; what is small and many
 * lives at offsets inside them.
 */
#include "gpu-private.h"

#include "engine/error.h"

/* Staging buffers are no larger than this: a model's weights pass through in pieces. */
#define MAX_STAGING ((gsize) 32 << 20)

/* Types with other flags (lazily allocated, protected, uncached, RDMA) are of no use here. */
#define KNOWN_FLAGS                                                                                                    \
  (VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |  \
   VK_MEMORY_PROPERTY_HOST_CACHED_BIT)

static const gchar *const kind_names[] = { "device", "upload", "readback" };

/* The memory type for @kind among @bits, -1 if there is none: the one with the most wanted and least unwanted flags,
 * the driver's order deciding among equals. */
static gint
pick_type (const DeimGpu *gpu, DeimMemoryKind kind, guint32 bits)
{
  const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  const VkMemoryPropertyFlags mapped = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  const VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  const gboolean unified = gpu->properties.unified_memory;

  gint best = -1;
  gint best_score = G_MININT;
  for (guint32 i = 0; i < gpu->memory.memoryTypeCount; i++) {
    VkMemoryPropertyFlags flags = gpu->memory.memoryTypes[i].propertyFlags;
    gboolean is_mapped = (flags & mapped) == mapped;
    if (!(bits >> i & 1) || flags & ~KNOWN_FLAGS)
      continue;

    gint score = 0;
    switch (kind) {
    case DEIM_MEMORY_DEVICE:
      score = (flags & local ? 4 : 0);
      if (unified)
        score += is_mapped ? 2 : 0;
      else
        score -= flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT ? 1 : 0;
      break;
    case DEIM_MEMORY_UPLOAD:
      /* Behind a bus, mapped device memory is scarce (256 MiB) and is left to those who need it. */
      score = (!(flags & local) == !unified) ? 2 : 0;
      break;
    case DEIM_MEMORY_READBACK:
      score = (flags & cached ? 4 : 0) + (!(flags & local) == !unified ? 2 : 0);
      break;
    }
    if (kind != DEIM_MEMORY_DEVICE && !is_mapped)
      continue;
    if (score > best_score) {
      best = (gint) i;
      best_score = score;
    }
  }
  return best;
}

gboolean
deim_gpu_buffer_init (DeimGpuBuffer *buffer, DeimGpu *gpu, DeimMemoryKind kind, gsize size, GError **error)
{
  DeimGpuBuffer made = { .size = size };

  if (gpu->max_allocation && size > gpu->max_allocation) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_MEMORY,
                 "a buffer of %" G_GSIZE_FORMAT " MiB is more than this device allocates at once (%" G_GSIZE_FORMAT
                 " MiB): use a smaller model, input or batch",
                 size >> 20, gpu->max_allocation >> 20);
    return FALSE;
  }

  gboolean addresses = gpu->policy.on[DEIM_DECISION_ADDRESS];
  VkBufferCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
    .size = (MAX (size, 1) + 15) & ~(gsize) 15, /* whole vec4s */
    .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT |
             VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
             (addresses ? VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0),
    .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
  };
  VK (gpu->vk.CreateBuffer (gpu->device, &info, NULL, &made.buffer));

  VkMemoryRequirements needs;
  gpu->vk.GetBufferMemoryRequirements (gpu->device, made.buffer, &needs);
  gint type = pick_type (gpu, kind, needs.memoryTypeBits);
  if (type < 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "the device \"%s\" has no memory of the kind \"%s\": choose another device", gpu->properties.name,
                 kind_names[kind]);
    goto fail;
  }
  VkMemoryAllocateFlagsInfo flags = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
    .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
  };
  VkMemoryAllocateInfo allocate = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
    .pNext = addresses ? &flags : NULL,
    .allocationSize = needs.size,
    .memoryTypeIndex = (guint32) type,
  };
  VkResult result = gpu->vk.AllocateMemory (gpu->device, &allocate, NULL, &made.memory);
  if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY) {
    made.memory = VK_NULL_HANDLE;
    deim_debug ("vkAllocateMemory: %s", deim_vk_result_name (result));
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_MEMORY,
                 "out of memory on \"%s\" for a buffer of %.1f MiB (%s): use a smaller model, input, batch or number "
                 "of frames in flight",
                 gpu->properties.name, (gdouble) needs.size / (1 << 20), kind_names[kind]);
    goto fail;
  }
  if (result < 0) {
    made.memory = VK_NULL_HANDLE;
    deim_vk_fail (gpu, result, "vkAllocateMemory", G_STRLOC, error);
    goto fail;
  }
  VK (gpu->vk.BindBufferMemory (gpu->device, made.buffer, made.memory, 0));
  if (gpu->memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) {
    void *map = NULL;
    VK (gpu->vk.MapMemory (gpu->device, made.memory, 0, VK_WHOLE_SIZE, 0, &map));
    made.map = map;
  }
  *buffer = made;
  return TRUE;

fail:
  deim_gpu_buffer_finish (&made, gpu);
  return FALSE;
}

void
deim_gpu_buffer_finish (DeimGpuBuffer *buffer, DeimGpu *gpu)
{
  if (buffer->buffer)
    gpu->vk.DestroyBuffer (gpu->device, buffer->buffer, NULL);
  if (buffer->memory)
    gpu->vk.FreeMemory (gpu->device, buffer->memory, NULL); /* unmaps */
  memset (buffer, 0, sizeof *buffer);
}

/* -------------------------------------------------------------- transfers */

static gboolean
check_range (const DeimGpuBuffer *buffer, gsize offset, gsize size, GError **error)
{
  if (offset <= buffer->size && size <= buffer->size - offset)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
               "bytes %" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT " are not inside a buffer of %" G_GSIZE_FORMAT
               " bytes: this is a mistake of the caller",
               offset, offset + size, buffer->size);
  return FALSE;
}

/* One copy between buffers, with everything submitted before finished first and the result visible to the host. */
static gboolean
copy_and_wait (DeimGpu *gpu, DeimCommands *commands, VkBuffer source, gsize source_offset, VkBuffer target,
               gsize target_offset, gsize size, GError **error)
{
  if (!deim_commands_begin (commands, error))
    return FALSE;
  if (size)
    deim_commands_copy (commands, source, source_offset, target, target_offset, size);
  deim_commands_barrier (commands, TRUE);
  guint64 value;
  return deim_commands_end (commands, error) && deim_gpu_submit (gpu, &commands, 1, &value, error) &&
         deim_gpu_wait (gpu, value, error);
}

gboolean
deim_gpu_buffer_upload (DeimGpuBuffer *buffer, DeimGpu *gpu, gsize offset, gconstpointer data, gsize size,
                        GError **error)
{
  if (!check_range (buffer, offset, size, error))
    return FALSE;
  if (size == 0)
    return TRUE;
  if (buffer->map) {
    /* Work that still reads the old content comes first, as it would with a copy on the queue. */
    if (!deim_gpu_wait_all (gpu, error))
      return FALSE;
    memcpy (buffer->map + offset, data, size);
    return TRUE;
  }

  gboolean ok = FALSE;
  gsize piece = MIN (size, MAX_STAGING);
  DeimGpuBuffer staging = { 0 };
  DeimCommands *commands = deim_commands_new (gpu, 0, 0, error);
  if (!commands || !deim_gpu_buffer_init (&staging, gpu, DEIM_MEMORY_UPLOAD, piece, error))
    goto done;
  for (gsize at = 0; at < size; at += piece) {
    gsize bytes = MIN (piece, size - at);
    memcpy (staging.map, (const guint8 *) data + at, bytes);
    if (!copy_and_wait (gpu, commands, staging.buffer, 0, buffer->buffer, offset + at, bytes, error))
      goto done;
  }
  ok = TRUE;

done:
  deim_commands_free (commands);
  deim_gpu_buffer_finish (&staging, gpu);
  return ok;
}

gboolean
deim_gpu_buffer_download (DeimGpuBuffer *buffer, DeimGpu *gpu, gsize offset, gpointer data, gsize size, GError **error)
{
  if (!check_range (buffer, offset, size, error))
    return FALSE;
  if (size == 0)
    return TRUE;

  gboolean ok = FALSE;
  gsize piece = MIN (size, MAX_STAGING);
  DeimGpuBuffer staging = { 0 };
  DeimCommands *commands = deim_commands_new (gpu, 0, 0, error);
  if (!commands)
    goto done;
  if (buffer->map) {
    /* An empty run: its barrier makes the writes of earlier work visible to the host, whoever recorded it. */
    ok = copy_and_wait (gpu, commands, VK_NULL_HANDLE, 0, VK_NULL_HANDLE, 0, 0, error);
    if (ok)
      memcpy (data, buffer->map + offset, size);
    goto done;
  }
  if (!deim_gpu_buffer_init (&staging, gpu, DEIM_MEMORY_READBACK, piece, error))
    goto done;
  for (gsize at = 0; at < size; at += piece) {
    gsize bytes = MIN (piece, size - at);
    if (!copy_and_wait (gpu, commands, buffer->buffer, offset + at, staging.buffer, 0, bytes, error))
      goto done;
    memcpy ((guint8 *) data + at, staging.map, bytes);
  }
  ok = TRUE;

done:
  deim_commands_free (commands);
  deim_gpu_buffer_finish (&staging, gpu);
  return ok;
}
