/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dmabuf.c - memory that a decoder, a camera or another device wrote, as a buffer of this device.
 *
 * Who writes a DMABuf and who reads it agree through fences that the kernel keeps with it. Vulkan looks at none of
 * them, so they are waited for before a frame is submitted.
 */
#include "gpu-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/error.h"

#define PATIENCE_MS 2000

gboolean
deim_dmabuf_identify (gint fd, DeimDmabufId *ret_id, GError **error)
{
  struct stat file;
  struct statfs system;
  if (fstat (fd, &file) != 0 || fstatfs (fd, &system) != 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "file descriptor %d of a DMABuf: %s", fd, g_strerror (errno));
    return FALSE;
  }
  if ((guint64) system.f_type == ANON_INODE_FS_MAGIC) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "this kernel cannot tell one DMABuf from another (Linux 5.3 and later can)");
    return FALSE;
  }
  *ret_id = (DeimDmabufId){ file.st_dev, file.st_ino };
  return TRUE;
}

/* The first memory type of @bits, which is the driver's favourite; -1 if there is none. */
static gint
first_type (const DeimGpu *gpu, guint32 bits)
{
  for (guint32 i = 0; i < gpu->memory.memoryTypeCount; i++)
    if (bits >> i & 1)
      return (gint) i;
  return -1;
}

/* Allocates @needs of memory that is @fd's. */
static VkResult
import_memory (DeimGpu *gpu, gint fd, const VkMemoryRequirements *needs, VkDeviceMemory *ret_memory)
{
  VkMemoryFdPropertiesKHR properties = { .sType = VK_STRUCTURE_TYPE_MEMORY_FD_PROPERTIES_KHR };
  VkResult result =
      gpu->vk.GetMemoryFdPropertiesKHR (gpu->device, VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT, fd, &properties);
  if (result < 0)
    return result;
  gint type = first_type (gpu, needs->memoryTypeBits & properties.memoryTypeBits);
  if (type < 0)
    return VK_ERROR_INVALID_EXTERNAL_HANDLE;
  gint own = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0)
    return VK_ERROR_TOO_MANY_OBJECTS;
  VkImportMemoryFdInfoKHR import = {
    .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
    .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
    .fd = own,
  };
  VkMemoryAllocateInfo allocate = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
    .pNext = &import,
    .allocationSize = needs->size,
    .memoryTypeIndex = (guint32) type,
  };
  result = gpu->vk.AllocateMemory (gpu->device, &allocate, NULL, ret_memory);
  if (result < 0) {
    *ret_memory = VK_NULL_HANDLE;
    close (own); /* the driver takes it when it succeeds */
  }
  return result;
}

gboolean
deim_gpu_buffer_import (DeimGpuBuffer *buffer, DeimGpu *gpu, gint fd, GError **error)
{
  if (!gpu->policy.on[DEIM_DECISION_DMABUF] || !gpu->vk.GetMemoryFdPropertiesKHR) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "\"%s\" imports no DMABuf: %s", gpu->properties.name,
                 gpu->policy.on[DEIM_DECISION_DMABUF] ? "its driver lacks vkGetMemoryFdPropertiesKHR"
                                                      : gpu->policy.reason[DEIM_DECISION_DMABUF]);
    return FALSE;
  }
  off_t end = lseek (fd, 0, SEEK_END);
  /* Whole words, and no more than a shader can be given. */
  gsize size = end > 0 ? MIN ((gsize) end & ~(gsize) 15, gpu->properties.max_storage_range & ~(guint64) 15) : 0;
  if (size == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "file descriptor %d is no DMABuf: it has no size", fd);
    return FALSE;
  }

  DeimGpuBuffer made = { .size = size };
  VkExternalMemoryBufferCreateInfo external = {
    .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
    .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
  };
  VkBufferCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
    .pNext = &external,
    .size = size,
    .usage = DEIM_IMPORT_USAGE,
    .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
  };
  VK (gpu->vk.CreateBuffer (gpu->device, &info, NULL, &made.buffer));
  VkMemoryRequirements needs;
  gpu->vk.GetBufferMemoryRequirements (gpu->device, made.buffer, &needs);
  VkResult result =
      needs.size > (gsize) end ? VK_ERROR_INVALID_EXTERNAL_HANDLE : import_memory (gpu, fd, &needs, &made.memory);
  if (result < 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "\"%s\" does not import this DMABuf of %" G_GSIZE_FORMAT " bytes: %s", gpu->properties.name,
                 (gsize) end, deim_vk_result_name (result));
    goto fail;
  }
  VK (gpu->vk.BindBufferMemory (gpu->device, made.buffer, made.memory, 0));
  *buffer = made;
  return TRUE;

fail:
  deim_gpu_buffer_finish (&made, gpu);
  return FALSE;
}

gboolean
deim_gpu_wait_for_dmabuf (DeimGpu *gpu, gint fd, GError **error)
{
  struct pollfd written = { .fd = fd, .events = POLLIN };
  gint ready;
  do
    ready = poll (&written, 1, PATIENCE_MS);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE,
                 "a DMABuf was not written to its end within %d s: whoever writes it has stopped", PATIENCE_MS / 1000);
    return FALSE;
  }
  if (gpu->policy.on[DEIM_DECISION_CPU]) {
    /* Drops what the CPU's caches hold of it, where that is needed. A file that is no DMABuf refuses, and is the CPU's
     * own. */
    struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };
    ioctl (fd, DMA_BUF_IOCTL_SYNC, &sync);
    sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
    ioctl (fd, DMA_BUF_IOCTL_SYNC, &sync);
  }
  return TRUE;
}
