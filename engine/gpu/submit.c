/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * submit.c - the one queue and its timeline. Every submit signals the next
 * value of one timeline semaphore; waiting for a frame is waiting for a number.
 *
 * Test aid: $DEIM_TEST_LOSE_DEVICE=n makes the n-th submit on a device (its
 * internal uploads and downloads count) report VK_ERROR_DEVICE_LOST without
 * submitting. That happens once in a process, so that a device opened after it
 * works, as after a real loss.
 */
#include "gpu-private.h"

#include "engine/error.h"

/* A driver that loses its device wakes its waiters; this bounds how long one sleeps should it not, and how soon a loss
 * that another thread met is noticed. */
#define WAIT_SLICE_NS (G_GUINT64_CONSTANT (1000000000))

static gint loss_was_simulated; /* atomic */

gboolean
deim_gpu_init_timeline (DeimGpu *gpu, GError **error)
{
  VkSemaphoreTypeCreateInfo type = {
    .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
    .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    .initialValue = 0,
  };
  VkSemaphoreCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
    .pNext = &type,
  };
  VK (gpu->vk.CreateSemaphore (gpu->device, &info, NULL, &gpu->timeline));
  const gchar *lose_at = g_getenv ("DEIM_TEST_LOSE_DEVICE");
  gpu->lose_at = lose_at ? g_ascii_strtoull (lose_at, NULL, 10) : 0;
  return TRUE;

fail:
  gpu->timeline = VK_NULL_HANDLE;
  return FALSE;
}

/* ------------------------------------------------------------------- loss */

/* What VK_EXT_device_fault knows about the end of the device. */
static void
log_fault (DeimGpu *gpu)
{
  VkDeviceFaultCountsEXT counts = { .sType = VK_STRUCTURE_TYPE_DEVICE_FAULT_COUNTS_EXT };
  if (!gpu->vk.GetDeviceFaultInfoEXT || gpu->vk.GetDeviceFaultInfoEXT (gpu->device, &counts, NULL) < 0)
    return;
  g_autofree VkDeviceFaultAddressInfoEXT *addresses = g_new0 (VkDeviceFaultAddressInfoEXT, counts.addressInfoCount + 1);
  g_autofree VkDeviceFaultVendorInfoEXT *vendor = g_new0 (VkDeviceFaultVendorInfoEXT, counts.vendorInfoCount + 1);
  VkDeviceFaultInfoEXT info = {
    .sType = VK_STRUCTURE_TYPE_DEVICE_FAULT_INFO_EXT,
    .pAddressInfos = addresses,
    .pVendorInfos = vendor,
  };
  counts.vendorBinarySize = 0;
  if (gpu->vk.GetDeviceFaultInfoEXT (gpu->device, &counts, &info) < 0)
    return;
  deim_warning ("device fault: %s", info.description);
  for (guint32 i = 0; i < counts.addressInfoCount; i++)
    deim_warning ("device fault: address 0x%" G_GINT64_MODIFIER "x, type %d", (guint64) addresses[i].reportedAddress,
                  addresses[i].addressType);
  for (guint32 i = 0; i < counts.vendorInfoCount; i++)
    deim_warning ("device fault: %s", vendor[i].description);
}

void
deim_gpu_mark_lost (DeimGpu *gpu, gboolean ask)
{
  if (!g_atomic_int_compare_and_exchange (&gpu->lost, FALSE, TRUE))
    return;
  deim_warning ("the device \"%s\" (%s) was lost", gpu->properties.name, gpu->properties.driver);
  if (ask)
    log_fault (gpu);
}

gboolean
deim_gpu_is_lost (DeimGpu *gpu)
{
  return g_atomic_int_get (&gpu->lost);
}

/* ------------------------------------------------------------------ queue */

static void
set_lost_error (DeimGpu *gpu, GError **error)
{
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST,
               "the device \"%s\" was lost: drop everything made on it and open the device again",
               gpu->properties.name);
}

/* The queue, under its lock. */
static VkResult
queue_submit (DeimGpu *gpu, const VkSubmitInfo *info)
{
  gpu->submits++;
  if (gpu->lose_at && gpu->submits == gpu->lose_at &&
      g_atomic_int_compare_and_exchange (&loss_was_simulated, FALSE, TRUE)) {
    deim_gpu_mark_lost (gpu, FALSE); /* asking a sound device for its fault is not allowed */
    return VK_ERROR_DEVICE_LOST;
  }
  return gpu->vk.QueueSubmit (gpu->queue, 1, info, VK_NULL_HANDLE);
}

gboolean
deim_gpu_submit (DeimGpu *gpu, DeimCommands *const *commands, guint n, guint64 *ret_value, GError **error)
{
  if (deim_gpu_is_lost (gpu)) {
    set_lost_error (gpu, error);
    return FALSE;
  }
  VkCommandBuffer few[40]; /* what a batch needs */
  g_autofree VkCommandBuffer *many = n > G_N_ELEMENTS (few) ? g_new (VkCommandBuffer, n) : NULL;
  VkCommandBuffer *buffers = many ? many : few;
  for (guint i = 0; i < n; i++) {
    if (!deim_commands_is_ready (commands[i])) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                   "a command buffer is submitted that was not recorded to its end: this is a mistake of the caller");
      return FALSE;
    }
    guint64 last = deim_commands_get_value (commands[i]);
    if (last && !deim_gpu_is_reached (gpu, last)) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_BUSY,
                   "a command buffer is submitted again while it still runs: wait for its value first");
      return FALSE;
    }
    buffers[i] = deim_commands_get_buffer (commands[i]);
  }

  g_mutex_lock (&gpu->queue_lock);
  guint64 value = gpu->submitted + 1;
  VkTimelineSemaphoreSubmitInfo timeline = {
    .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
    .signalSemaphoreValueCount = 1,
    .pSignalSemaphoreValues = &value,
  };
  VkSubmitInfo info = {
    .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
    .pNext = &timeline,
    .commandBufferCount = n,
    .pCommandBuffers = buffers,
    .signalSemaphoreCount = 1,
    .pSignalSemaphores = &gpu->timeline,
  };
  VkResult result = queue_submit (gpu, &info);
  if (result >= 0) {
    gpu->submitted = value;
    for (guint i = 0; i < n; i++)
      deim_commands_set_value (commands[i], value);
  }
  g_mutex_unlock (&gpu->queue_lock);
  if (result < 0) {
    deim_vk_fail (gpu, result, "vkQueueSubmit", G_STRLOC, error);
    return FALSE;
  }
  *ret_value = value;
  return TRUE;
}

gboolean
deim_gpu_wait (DeimGpu *gpu, guint64 value, GError **error)
{
  VkSemaphoreWaitInfo info = {
    .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
    .semaphoreCount = 1,
    .pSemaphores = &gpu->timeline,
    .pValues = &value,
  };
  VkResult result;
  do {
    if (deim_gpu_is_lost (gpu)) {
      set_lost_error (gpu, error);
      return FALSE;
    }
    result = gpu->vk.WaitSemaphores (gpu->device, &info, WAIT_SLICE_NS);
  } while (result == VK_TIMEOUT);
  VK (result);
  return TRUE;

fail:
  return FALSE;
}

gboolean
deim_gpu_is_reached (DeimGpu *gpu, guint64 value)
{
  guint64 counter = 0;
  if (deim_gpu_is_lost (gpu))
    return TRUE; /* waiting returns at once, with the error */
  VkResult result = gpu->vk.GetSemaphoreCounterValue (gpu->device, gpu->timeline, &counter);
  if (result < 0) {
    deim_vk_fail (gpu, result, "vkGetSemaphoreCounterValue", G_STRLOC, NULL);
    return TRUE;
  }
  return counter >= value;
}

void
deim_gpu_wait_quietly (DeimGpu *gpu, guint64 value)
{
  VkSemaphoreWaitInfo info = {
    .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
    .semaphoreCount = 1,
    .pSemaphores = &gpu->timeline,
    .pValues = &value,
  };
  VkResult result = gpu->vk.WaitSemaphores (gpu->device, &info, G_MAXUINT64);
  if (result < 0)
    deim_vk_fail (gpu, result, "vkWaitSemaphores", G_STRLOC, NULL);
}

gboolean
deim_gpu_wait_all (DeimGpu *gpu, GError **error)
{
  g_mutex_lock (&gpu->queue_lock);
  guint64 value = gpu->submitted;
  g_mutex_unlock (&gpu->queue_lock);
  return value == 0 || deim_gpu_wait (gpu, value, error);
}
