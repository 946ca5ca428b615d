/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpu-private.h - the inside of DeimGpu, for the files of engine/gpu/ alone. */
#pragma once

#include <string.h>

#include "gpu.h"

/* What imported buffers are used for. */
#define DEIM_IMPORT_USAGE (VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT)

struct _DeimGpu {
  gatomicrefcount refs;

  /* device.c: constant after opening */
  const DeimVkInstance *instance;
  VkPhysicalDevice physical;
  VkDevice device;
  DeimVkDevice vk;
  VkQueue queue;
  guint32 queue_family;
  guint timestamp_bits; /* valid bits of a timestamp on the queue; 0: none */
  DeimGpuProperties properties;
  DeimGpuPolicy policy;
  VkPhysicalDeviceLimits limits;
  VkPhysicalDeviceMemoryProperties memory;
  gsize max_allocation;  /* bytes of one VkDeviceMemory */
  guint32 outside;       /* queue family that stands for whoever else writes imported memory */
  GPtrArray *extensions; /* names that were turned on, static strings */

  /* submit.c */
  GMutex queue_lock; /* of the queue, `submitted` and `submits` */
  VkSemaphore timeline;
  guint64 submitted; /* value that the newest submit signals */
  guint64 submits;   /* calls so far, for $DEIM_TEST_LOSE_DEVICE */
  guint64 lose_at;   /* the call that pretends to lose the device; 0: none */
  gint lost;         /* atomic */

  /* pipeline.c */
  GMutex pipeline_lock;  /* of `pipelines` and the states in it, and of the cache_ fields */
  GCond pipeline_done;   /* an entry left the state of being built */
  GHashTable *pipelines; /* DeimPipelineKey in the entry -> entry */
  VkPipelineCache cache;
  gchar *cache_path;      /* NULL: nowhere to write */
  guint64 cache_checksum; /* of the payload that is on disk; 0: none */
  guint cache_added;      /* pipelines created since the last save */
};

/* device.c: another VkDevice of the same physical device, with the same policy, that keeps nothing on disk. */
DeimGpu *deim_gpu_open_copy (DeimGpu *gpu, GError **error);

/* properties.c: the shapes of cooperative matrices of fp16 with sums in fp32 (of DeimMatrixShape; maybe none). */
GArray *deim_gpu_query_matrices (const DeimVkInstance *instance, VkPhysicalDevice physical);
/* properties.c: reduces what the driver reports; also whether @physical has extension @name. */
void deim_gpu_query_properties (const DeimVkInstance *instance, VkPhysicalDevice physical,
                                DeimGpuProperties *properties);
gboolean deim_gpu_has_extension (const DeimVkInstance *instance, VkPhysicalDevice physical, const gchar *name);
/* The queue family to compute on, -1 if there is none. */
gint deim_gpu_pick_queue_family (const DeimVkInstance *instance, VkPhysicalDevice physical, guint *ret_timestamp_bits);

/* submit.c */
/* The first call logs, with what VK_EXT_device_fault has to say when @ask. */
void deim_gpu_mark_lost (DeimGpu *gpu, gboolean ask);
gboolean deim_gpu_init_timeline (DeimGpu *gpu, GError **error);
/* Sleeps until @value is reached or the driver says that it never will; also works on a device marked lost. */
void deim_gpu_wait_quietly (DeimGpu *gpu, guint64 value);
/* Sleeps until everything submitted so far has finished. */
gboolean deim_gpu_wait_all (DeimGpu *gpu, GError **error);

/* pipeline.c */
/* What compiled code holds for: this build's shaders and the driver. */
gchar *deim_gpu_code_fingerprint (DeimGpu *gpu);
gboolean deim_gpu_init_pipelines (DeimGpu *gpu, GError **error);
void deim_gpu_finish_pipelines (DeimGpu *gpu);

/* pipeline-cache.c: the file around the driver's blob. */
gchar *deim_pipeline_cache_path (const DeimGpuProperties *properties, const gchar *cache_dir);
/* The payload of the file, or NULL when there is none that fits this device, driver and build. */
GBytes *deim_pipeline_cache_read (const gchar *path, const DeimGpuProperties *properties, guint64 *ret_checksum);
gboolean deim_pipeline_cache_write (const gchar *path, const DeimGpuProperties *properties, gconstpointer payload,
                                    gsize size, GError **error);
/* Whether a file can be written where @path is to be. */
gboolean deim_pipeline_cache_check (const gchar *path, GError **error);
guint64 deim_pipeline_cache_checksum (gconstpointer payload, gsize size);

/* command.c */
gboolean deim_commands_is_ready (DeimCommands *commands); /* recorded to the end */
VkCommandBuffer deim_commands_get_buffer (DeimCommands *commands);
guint64 deim_commands_get_value (DeimCommands *commands); /* of the newest submit; 0: never submitted */
void deim_commands_set_value (DeimCommands *commands, guint64 value);
