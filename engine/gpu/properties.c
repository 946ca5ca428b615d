/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * properties.c - what a physical device reports, reduced to DeimGpuProperties,
 * and the choice of a queue family.
 */
#include "gpu-private.h"

/* One node of a pNext chain; every structure of the API starts like this. */
#define CHAIN(head, node)                                                                                              \
  G_STMT_START                                                                                                         \
  {                                                                                                                    \
    (node)->pNext = (head)->pNext;                                                                                     \
    (head)->pNext = (node);                                                                                            \
  }                                                                                                                    \
  G_STMT_END

/* NULL where the driver fails to answer, which then has no extension. Free with g_free(). */
static VkExtensionProperties *
list_extensions (const DeimVkInstance *instance, VkPhysicalDevice physical, guint32 *ret_n)
{
  guint32 n = 0;
  *ret_n = 0;
  if (instance->EnumerateDeviceExtensionProperties (physical, NULL, &n, NULL) < 0)
    return NULL;
  g_autofree VkExtensionProperties *extensions = g_new0 (VkExtensionProperties, n);
  if (instance->EnumerateDeviceExtensionProperties (physical, NULL, &n, extensions) < 0)
    return NULL;
  *ret_n = n;
  return g_steal_pointer (&extensions);
}

static gboolean
is_in (const VkExtensionProperties *extensions, guint32 n, const gchar *name)
{
  for (guint32 i = 0; i < n; i++)
    if (strcmp (extensions[i].extensionName, name) == 0)
      return TRUE;
  return FALSE;
}

gboolean
deim_gpu_has_extension (const DeimVkInstance *instance, VkPhysicalDevice physical, const gchar *name)
{
  guint32 n;
  g_autofree VkExtensionProperties *extensions = list_extensions (instance, physical, &n);
  return is_in (extensions, n, name);
}

/*
 * A family for compute without graphics where there is one: inference then
 * runs beside a desktop's or a video sink's drawing instead of between its
 * frames. Any family with compute otherwise (every GPU with graphics has one).
 */
gint
deim_gpu_pick_queue_family (const DeimVkInstance *instance, VkPhysicalDevice physical, guint *ret_timestamp_bits)
{
  guint32 n = 0;
  instance->GetPhysicalDeviceQueueFamilyProperties (physical, &n, NULL);
  g_autofree VkQueueFamilyProperties *families = g_new0 (VkQueueFamilyProperties, n);
  instance->GetPhysicalDeviceQueueFamilyProperties (physical, &n, families);

  gint best = -1;
  for (guint32 i = 0; i < n; i++) {
    if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || families[i].queueCount == 0)
      continue;
    gboolean alone = !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
    if (best < 0 || (alone && families[best].queueFlags & VK_QUEUE_GRAPHICS_BIT))
      best = (gint) i;
  }
  if (best >= 0)
    *ret_timestamp_bits = families[best].timestampValidBits;
  return best;
}

/* The largest device-local heap, and whether the host can map coherent memory of it. */
static void
query_memory (const DeimVkInstance *instance, VkPhysicalDevice physical, DeimGpuProperties *properties)
{
  VkPhysicalDeviceMemoryProperties memory;
  instance->GetPhysicalDeviceMemoryProperties (physical, &memory);

  guint32 heap = 0;
  for (guint32 i = 0; i < memory.memoryHeapCount; i++)
    if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
        memory.memoryHeaps[i].size > properties->device_memory) {
      properties->device_memory = memory.memoryHeaps[i].size;
      heap = i;
    }

  /* A discrete GPU whose whole memory is mapped (resizable BAR) still sits behind a bus. */
  if (properties->type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU)
    return;
  const VkMemoryPropertyFlags wanted =
      VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  for (guint32 i = 0; i < memory.memoryTypeCount; i++)
    if (memory.memoryTypes[i].heapIndex == heap && (memory.memoryTypes[i].propertyFlags & wanted) == wanted)
      properties->unified_memory = TRUE;
}

static void
query_base (const VkPhysicalDeviceProperties *base, DeimGpuProperties *properties)
{
  const VkPhysicalDeviceLimits *limits = &base->limits;
  g_strlcpy (properties->name, base->deviceName, sizeof properties->name);
  properties->vendor_id = base->vendorID;
  properties->device_id = base->deviceID;
  properties->driver_version = base->driverVersion;
  properties->api_version = base->apiVersion;
  properties->type = (gint) base->deviceType;
  memcpy (properties->cache_uuid, base->pipelineCacheUUID, sizeof properties->cache_uuid);
  properties->max_workgroup_invocations = limits->maxComputeWorkGroupInvocations;
  properties->max_workgroup_size_x = limits->maxComputeWorkGroupSize[0];
  properties->max_shared_bytes = limits->maxComputeSharedMemorySize;
  properties->max_push_bytes = limits->maxPushConstantsSize;
  properties->max_storage_range = limits->maxStorageBufferRange;
  properties->max_texel_elements = limits->maxTexelBufferElements;
  guint64 alignment = MAX (limits->minStorageBufferOffsetAlignment, limits->minTexelBufferOffsetAlignment);
  properties->binding_alignment = (guint) MAX (alignment, 16);
}

static gboolean
imports_buffers (const DeimVkInstance *instance, VkPhysicalDevice physical)
{
  VkPhysicalDeviceExternalBufferInfo info = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
    .usage = DEIM_IMPORT_USAGE,
    .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
  };
  VkExternalBufferProperties found = { .sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES };
  instance->GetPhysicalDeviceExternalBufferProperties (physical, &info, &found);
  VkExternalMemoryFeatureFlags features = found.externalMemoryProperties.externalMemoryFeatures;
  return features & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT &&
         !(features & VK_EXTERNAL_MEMORY_FEATURE_DEDICATED_ONLY_BIT);
}

void
deim_gpu_query_properties (const DeimVkInstance *instance, VkPhysicalDevice physical, DeimGpuProperties *properties)
{
  memset (properties, 0, sizeof *properties);

  VkPhysicalDeviceProperties base;
  instance->GetPhysicalDeviceProperties (physical, &base);
  query_base (&base, properties);
  query_memory (instance, physical, properties);
  guint timestamp_bits = 0;
  properties->compute = deim_gpu_pick_queue_family (instance, physical, &timestamp_bits) >= 0;
  properties->timestamp_period_ns = timestamp_bits ? base.limits.timestampPeriod : 0;
  if (base.apiVersion < VK_API_VERSION_1_2)
    return; /* unusable, and the structures below are unknown to it */

  guint32 n;
  g_autofree VkExtensionProperties *extensions = list_extensions (instance, physical, &n);
  gboolean size_control = is_in (extensions, n, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
  gboolean coopmat = is_in (extensions, n, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
  gboolean dot = is_in (extensions, n, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);

  VkPhysicalDeviceProperties2 properties2 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2 };
  VkPhysicalDeviceVulkan11Properties v11 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES };
  VkPhysicalDeviceVulkan12Properties v12 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES };
  VkPhysicalDeviceSubgroupSizeControlPropertiesEXT sizes = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT
  };
  VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR dots = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR
  };
  CHAIN (&properties2, &v11);
  CHAIN (&properties2, &v12);
  if (size_control)
    CHAIN (&properties2, &sizes);
  if (dot)
    CHAIN (&properties2, &dots);
  instance->GetPhysicalDeviceProperties2 (physical, &properties2);

  VkPhysicalDeviceFeatures2 features2 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 };
  VkPhysicalDeviceVulkan11Features f11 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES };
  VkPhysicalDeviceVulkan12Features f12 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES };
  VkPhysicalDeviceSubgroupSizeControlFeaturesEXT fsizes = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT
  };
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR fmatrix = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR
  };
  CHAIN (&features2, &f11);
  CHAIN (&features2, &f12);
  if (size_control)
    CHAIN (&features2, &fsizes);
  if (coopmat)
    CHAIN (&features2, &fmatrix);
  instance->GetPhysicalDeviceFeatures2 (physical, &features2);

  g_snprintf (properties->driver, sizeof properties->driver, "%s %s", v12.driverName, v12.driverInfo);
  g_strchomp (properties->driver);
  properties->driver_id = (guint32) v12.driverID;
  memcpy (properties->device_uuid, v11.deviceUUID, sizeof properties->device_uuid);
  memcpy (properties->driver_uuid, v11.driverUUID, sizeof properties->driver_uuid);

  properties->subgroup_size = v11.subgroupSize;
  properties->subgroup_size_control =
      size_control && fsizes.subgroupSizeControl && sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
  properties->full_subgroups = size_control && fsizes.computeFullSubgroups;
  properties->min_subgroup_size = size_control ? sizes.minSubgroupSize : v11.subgroupSize;
  properties->max_subgroup_size = size_control ? sizes.maxSubgroupSize : v11.subgroupSize;
  if (v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) {
    VkSubgroupFeatureFlags operations = v11.subgroupSupportedOperations;
    properties->subgroup_shuffle = !!(operations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT);
    properties->subgroup_ballot = !!(operations & VK_SUBGROUP_FEATURE_BALLOT_BIT);
    properties->subgroup_arithmetic = !!(operations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT);
  }

  properties->timeline_semaphore = !!f12.timelineSemaphore;
  properties->buffer_device_address = !!f12.bufferDeviceAddress;
  properties->int64 = !!features2.features.shaderInt64;
  properties->storage_16bit = !!f11.storageBuffer16BitAccess;
  properties->float16 = !!f12.shaderFloat16;
  properties->memory_model = !!f12.vulkanMemoryModel;
  properties->cooperative_matrix = coopmat && fmatrix.cooperativeMatrix;
  properties->mixed_dot = dot && dots.integerDotProduct4x8BitPackedMixedSignednessAccelerated;
  properties->dma_buf = is_in (extensions, n, VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME) &&
                        is_in (extensions, n, VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
  properties->dma_buf_buffer = properties->dma_buf && imports_buffers (instance, physical);
}

GArray *
deim_gpu_query_matrices (const DeimVkInstance *instance, VkPhysicalDevice physical)
{
  GArray *shapes = g_array_new (FALSE, FALSE, sizeof (DeimMatrixShape));
  guint32 n = 0;
  if (!instance->GetPhysicalDeviceCooperativeMatrixPropertiesKHR ||
      instance->GetPhysicalDeviceCooperativeMatrixPropertiesKHR (physical, &n, NULL) < 0)
    return shapes;
  g_autofree VkCooperativeMatrixPropertiesKHR *list = g_new0 (VkCooperativeMatrixPropertiesKHR, n + 1);
  for (guint32 i = 0; i < n; i++)
    list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
  if (instance->GetPhysicalDeviceCooperativeMatrixPropertiesKHR (physical, &n, list) < 0)
    return shapes;
  for (guint32 i = 0; i < n; i++) {
    DeimMatrixShape shape = { list[i].MSize, list[i].NSize, list[i].KSize };
    if (list[i].AType == VK_COMPONENT_TYPE_FLOAT16_KHR && list[i].BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
        list[i].CType == VK_COMPONENT_TYPE_FLOAT32_KHR && list[i].ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
        list[i].scope == VK_SCOPE_SUBGROUP_KHR)
      g_array_append_val (shapes, shape);
  }
  return shapes;
}
