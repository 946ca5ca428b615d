/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device.c - choosing, opening and describing a device.
 *
 * $DEIM_DEVICE: selector when the caller gives none. $DEIM_DISABLE: decisions
 * of the policy to turn off, "coopmat,fp16". Each DeimGpu is a VkDevice of its
 * own, also on the same hardware; a lost one leaves nothing behind.
 */
#include "gpu-private.h"

#include "engine/error.h"

/* -------------------------------------------------------------- selection */

/* One enumerated device. */
typedef struct {
  VkPhysicalDevice physical;
  DeimGpuProperties properties;
} Candidate;

/* All devices in the driver's order, which is the index order. NULL with @error when the call failed. */
static GArray *
enumerate (const DeimVkInstance *instance, GError **error)
{
  DeimGpu *gpu = NULL; /* for VK() */
  g_autofree VkPhysicalDevice *devices = NULL;
  guint32 n = 0;
  VkResult result;

  do { /* a device may be plugged in between the two calls */
    VK (instance->EnumeratePhysicalDevices (instance->handle, &n, NULL));
    g_free (devices);
    devices = g_new0 (VkPhysicalDevice, MAX (n, 1));
    result = instance->EnumeratePhysicalDevices (instance->handle, &n, devices);
  } while (result == VK_INCOMPLETE);
  VK (result);

  GArray *candidates = g_array_new (FALSE, TRUE, sizeof (Candidate));
  g_array_set_size (candidates, n);
  for (guint32 i = 0; i < n; i++) {
    Candidate *candidate = &g_array_index (candidates, Candidate, i);
    candidate->physical = devices[i];
    deim_gpu_query_properties (instance, devices[i], &candidate->properties);
  }
  return candidates;

fail:
  return NULL;
}

/* "0: NVIDIA H200, 1: llvmpipe (its driver has ...)" */
static gchar *
list_candidates (const GArray *candidates)
{
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < candidates->len; i++) {
    const DeimGpuProperties *properties = &g_array_index (candidates, Candidate, i).properties;
    const gchar *reason = NULL;
    g_string_append_printf (text, "%s%u: %s", i ? ", " : "", i, properties->name);
    if (!deim_gpu_policy_usable (properties, &reason))
      g_string_append_printf (text, " (not usable: %s)", reason);
  }
  return g_string_free (text, candidates->len == 0);
}

/* The best-ranked usable device that @selector means, the first among equals; -1 with @error. */
static gint
choose (const GArray *candidates, const gchar *selector, gboolean from_environment, GError **error)
{
  gint best = -1;
  gint best_rank = 0;
  gint refused = -1;
  const gchar *reason = NULL;

  for (guint i = 0; i < candidates->len; i++) {
    const DeimGpuProperties *properties = &g_array_index (candidates, Candidate, i).properties;
    if (!deim_gpu_policy_matches (properties, i, selector))
      continue;
    if (!deim_gpu_policy_usable (properties, &reason)) {
      refused = (gint) i;
      continue;
    }
    gint rank = deim_gpu_policy_rank (properties);
    if (best < 0 || rank > best_rank) {
      best = (gint) i;
      best_rank = rank;
    }
  }
  if (best >= 0)
    return best;

  g_autofree gchar *names = list_candidates (candidates);
  if (!names)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE,
                 "there is no Vulkan device: install a driver (Debian, Ubuntu: mesa-vulkan-drivers)");
  else if (refused >= 0)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE,
                 "the device \"%s\" cannot be used: %s: choose another or update its driver; there are: %s",
                 g_array_index (candidates, Candidate, refused).properties.name, reason, names);
  else
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE,
                 "no Vulkan device matches \"%s\"%s: give an index, a UUID or a part of a name; there are: %s",
                 selector, from_environment ? " (from DEIM_DEVICE)" : "", names);
  return -1;
}

/* ---------------------------------------------------------------- opening */

/* Turns on what the driver reports and the engine can use, nothing else: asking for more fails on old CPUs, where
 * lavapipe has no shaderFloat16. */
static gboolean
create_device (DeimGpu *gpu, GError **error)
{
  const DeimGpuProperties *p = &gpu->properties;

  const gfloat priority = 1.0f;
  VkDeviceQueueCreateInfo queue = {
    .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
    .queueFamilyIndex = gpu->queue_family,
    .queueCount = 1,
    .pQueuePriorities = &priority,
  };
  VkPhysicalDeviceVulkan12Features f12 = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
    .timelineSemaphore = VK_TRUE,
    .bufferDeviceAddress = (VkBool32) p->buffer_device_address,
    .shaderFloat16 = (VkBool32) p->float16,
    .vulkanMemoryModel = (VkBool32) p->memory_model,
  };
  VkPhysicalDeviceVulkan11Features f11 = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
    .pNext = &f12,
    .storageBuffer16BitAccess = (VkBool32) p->storage_16bit,
  };
  VkPhysicalDeviceFeatures2 features = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
    .pNext = &f11,
    .features.shaderInt64 = (VkBool32) p->int64,
  };
  VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT,
    .subgroupSizeControl = (VkBool32) p->subgroup_size_control,
    .computeFullSubgroups = (VkBool32) p->full_subgroups,
  };
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
    .cooperativeMatrix = VK_TRUE,
  };
  VkPhysicalDeviceFaultFeaturesEXT fault = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FAULT_FEATURES_EXT,
    .deviceFault = VK_TRUE,
  };

  g_ptr_array_set_size (gpu->extensions, 0);
  if (p->subgroup_size_control || p->full_subgroups) {
    g_ptr_array_add (gpu->extensions, (gpointer) VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    sizes.pNext = f12.pNext;
    f12.pNext = &sizes;
  }
  if (gpu->policy.on[DEIM_DECISION_COOPMAT]) {
    g_ptr_array_add (gpu->extensions, (gpointer) VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    matrix.pNext = f12.pNext;
    f12.pNext = &matrix;
  }
  if (gpu->policy.on[DEIM_DECISION_DMABUF]) {
    g_ptr_array_add (gpu->extensions, (gpointer) VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
    g_ptr_array_add (gpu->extensions, (gpointer) VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME);
    /* Memory that other devices write, not only other processes on this one. */
    gpu->outside = VK_QUEUE_FAMILY_EXTERNAL;
    if (deim_gpu_has_extension (gpu->instance, gpu->physical, VK_EXT_QUEUE_FAMILY_FOREIGN_EXTENSION_NAME)) {
      g_ptr_array_add (gpu->extensions, (gpointer) VK_EXT_QUEUE_FAMILY_FOREIGN_EXTENSION_NAME);
      gpu->outside = VK_QUEUE_FAMILY_FOREIGN_EXT;
    }
  }
  if (deim_gpu_has_extension (gpu->instance, gpu->physical, VK_EXT_DEVICE_FAULT_EXTENSION_NAME)) {
    /* deviceFault is the one feature that every driver with the extension has to offer. */
    g_ptr_array_add (gpu->extensions, (gpointer) VK_EXT_DEVICE_FAULT_EXTENSION_NAME);
    fault.pNext = f12.pNext;
    f12.pNext = &fault;
  }

  VkDeviceCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
    .pNext = &features,
    .queueCreateInfoCount = 1,
    .pQueueCreateInfos = &queue,
    .enabledExtensionCount = gpu->extensions->len,
    .ppEnabledExtensionNames = (const gchar *const *) gpu->extensions->pdata,
  };
  VkDevice device = VK_NULL_HANDLE;
  VK (gpu->instance->CreateDevice (gpu->physical, &info, NULL, &device));
  gpu->device = device;
  return deim_vk_device_init (&gpu->vk, gpu->instance, device, error);

fail:
  return FALSE;
}

/* Reads the limits that are no policy's business. */
static void
query_limits (DeimGpu *gpu)
{
  VkPhysicalDeviceVulkan11Properties v11 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES };
  VkPhysicalDeviceProperties2 properties = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
    .pNext = &v11,
  };
  gpu->instance->GetPhysicalDeviceProperties2 (gpu->physical, &properties);
  gpu->limits = properties.properties.limits;
  gpu->max_allocation = v11.maxMemoryAllocationSize;
  gpu->instance->GetPhysicalDeviceMemoryProperties (gpu->physical, &gpu->memory);
}

static DeimGpu *
make_gpu (void)
{
  DeimGpu *gpu = g_new0 (DeimGpu, 1);
  g_atomic_ref_count_init (&gpu->refs);
  g_mutex_init (&gpu->queue_lock);
  g_mutex_init (&gpu->pipeline_lock);
  g_cond_init (&gpu->pipeline_done);
  gpu->extensions = g_ptr_array_new ();
  return gpu;
}

/* Where the physical device, its properties and the policy are known. */
static gboolean
start (DeimGpu *gpu, GError **error)
{
  if (!create_device (gpu, error))
    return FALSE;
  gpu->vk.GetDeviceQueue (gpu->device, gpu->queue_family, 0, &gpu->queue);
  return deim_gpu_init_timeline (gpu, error) && deim_gpu_init_pipelines (gpu, error);
}

DeimGpu *
deim_gpu_open (const gchar *selector, const gchar *cache_dir, GError **error)
{
  gboolean from_environment = !selector || !*selector;
  if (from_environment)
    selector = g_getenv ("DEIM_DEVICE");

  g_autoptr (DeimGpu) gpu = make_gpu ();
  gpu->instance = deim_vk_instance_get (error);
  if (!gpu->instance)
    return NULL;
  g_autoptr (GArray) candidates = enumerate (gpu->instance, error);
  if (!candidates)
    return NULL;
  gint index = choose (candidates, selector, from_environment, error);
  if (index < 0)
    return NULL;
  gpu->physical = g_array_index (candidates, Candidate, index).physical;
  gpu->properties = g_array_index (candidates, Candidate, index).properties;
  gpu->queue_family = (guint32) deim_gpu_pick_queue_family (gpu->instance, gpu->physical, &gpu->timestamp_bits);
  gpu->cache_path = deim_pipeline_cache_path (&gpu->properties, cache_dir);
  query_limits (gpu);

  const gchar *disable = g_getenv ("DEIM_DISABLE");
  g_autofree gchar *unknown = deim_gpu_policy_find_unknown (disable);
  if (unknown)
    deim_warning ("DEIM_DISABLE: there is no decision \"%s\"; see deim info --device", unknown);
  deim_gpu_policy_decide (&gpu->policy, &gpu->properties, disable);
  /* Test aid: where that is slower, too, so that its kernels are tested on any lavapipe. */
  if (g_getenv ("DEIM_TEST_ADDRESS") && gpu->policy.on[DEIM_DECISION_TEXEL] && gpu->properties.buffer_device_address &&
      gpu->properties.int64)
    deim_gpu_overrule (gpu, DEIM_DECISION_ADDRESS, TRUE, "a test asks for it");
  if (gpu->policy.on[DEIM_DECISION_COOPMAT]) {
    g_autoptr (GArray) shapes = deim_gpu_query_matrices (gpu->instance, gpu->physical);
    deim_gpu_policy_pick_matrix (&gpu->policy, (const DeimMatrixShape *) shapes->data, shapes->len);
  }
  if (!start (gpu, error))
    return NULL;
  deim_info ("opened %s, %s", gpu->properties.name, gpu->properties.driver);
  return g_steal_pointer (&gpu);
}

DeimGpu *
deim_gpu_open_copy (DeimGpu *other, GError **error)
{
  g_autoptr (DeimGpu) gpu = make_gpu ();
  gpu->instance = other->instance;
  gpu->physical = other->physical;
  gpu->properties = other->properties;
  gpu->queue_family = other->queue_family;
  gpu->timestamp_bits = other->timestamp_bits;
  gpu->limits = other->limits;
  gpu->memory = other->memory;
  gpu->max_allocation = other->max_allocation;
  gpu->policy = other->policy;
  if (!start (gpu, error))
    return NULL;
  gpu->lose_at = 0; /* a test's wish for the device itself */
  return g_steal_pointer (&gpu);
}

DeimGpu *
deim_gpu_ref (DeimGpu *gpu)
{
  g_atomic_ref_count_inc (&gpu->refs);
  return gpu;
}

void
deim_gpu_unref (DeimGpu *gpu)
{
  if (!gpu || !g_atomic_ref_count_dec (&gpu->refs))
    return;
  if (gpu->device && gpu->vk.DeviceWaitIdle)
    gpu->vk.DeviceWaitIdle (gpu->device); /* a lost device says so here, which changes nothing */
  deim_gpu_finish_pipelines (gpu);
  if (gpu->timeline)
    gpu->vk.DestroySemaphore (gpu->device, gpu->timeline, NULL);
  if (gpu->device && gpu->vk.DestroyDevice)
    gpu->vk.DestroyDevice (gpu->device, NULL);
  g_clear_pointer (&gpu->extensions, g_ptr_array_unref);
  g_free (gpu->cache_path);
  g_mutex_clear (&gpu->queue_lock);
  g_mutex_clear (&gpu->pipeline_lock);
  g_cond_clear (&gpu->pipeline_done);
  g_free (gpu);
}

gchar **
deim_gpu_list (GError **error)
{
  const DeimVkInstance *instance = deim_vk_instance_get (error);
  g_autoptr (GArray) candidates = instance ? enumerate (instance, error) : NULL;
  if (!candidates)
    return NULL;
  gchar **names = g_new0 (gchar *, candidates->len + 1);
  for (guint i = 0; i < candidates->len; i++)
    names[i] = g_strdup (g_array_index (candidates, Candidate, i).properties.name);
  return names;
}

/* ------------------------------------------------------------ description */

const gchar *
deim_gpu_get_name (DeimGpu *gpu)
{
  return gpu->properties.name;
}

void
deim_gpu_overrule (DeimGpu *gpu, DeimDecision decision, gboolean on, const gchar *reason)
{
  gpu->policy.on[decision] = on;
  gpu->policy.reason[decision] = reason;
}

const DeimGpuPolicy *
deim_gpu_get_policy (DeimGpu *gpu)
{
  return &gpu->policy;
}

const DeimGpuProperties *
deim_gpu_get_properties (DeimGpu *gpu)
{
  return &gpu->properties;
}

static const gchar *
type_name (gint type)
{
  switch (type) {
  case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
    return "discrete GPU";
  case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
    return "integrated GPU";
  case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
    return "virtual GPU";
  case VK_PHYSICAL_DEVICE_TYPE_CPU:
    return "CPU";
  default:
    return "other";
  }
}

gchar *
deim_gpu_describe (DeimGpu *gpu)
{
  const DeimGpuProperties *p = &gpu->properties;
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "device        %s (%s, %04x:%04x)\n", p->name, type_name (p->type), p->vendor_id,
                          p->device_id);
  g_string_append (text, "uuid          ");
  for (guint i = 0; i < G_N_ELEMENTS (p->device_uuid); i++)
    g_string_append_printf (text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", p->device_uuid[i]);
  g_string_append_printf (text, "\ndriver        %s\n", p->driver);
  g_string_append_printf (text, "vulkan        %u.%u.%u\n", VK_API_VERSION_MAJOR (p->api_version),
                          VK_API_VERSION_MINOR (p->api_version), VK_API_VERSION_PATCH (p->api_version));
  g_string_append_printf (text, "memory        %" G_GUINT64_FORMAT " MiB%s\n", p->device_memory >> 20,
                          p->unified_memory ? ", shared with the host" : "");
  if (p->min_subgroup_size == p->max_subgroup_size)
    g_string_append_printf (text, "subgroup      %u lanes\n", p->subgroup_size);
  else
    g_string_append_printf (text, "subgroup      %u to %u lanes, kernels take %u\n", p->min_subgroup_size,
                            p->max_subgroup_size, gpu->policy.subgroup_size);
  g_string_append_printf (text, "workgroup     %u invocations, %u KiB shared\n", p->max_workgroup_invocations,
                          p->max_shared_bytes >> 10);
  g_string_append_printf (text,
                          "bindings      %" G_GUINT64_FORMAT " MiB, %" G_GUINT64_FORMAT " texels, aligned to %u\n",
                          p->max_storage_range >> 20, p->max_texel_elements, p->binding_alignment);
  if (gpu->timestamp_bits)
    g_string_append_printf (text, "queue         family %u, timestamps of %g ns\n", gpu->queue_family,
                            p->timestamp_period_ns);
  else
    g_string_append_printf (text, "queue         family %u, no timestamps\n", gpu->queue_family);
  g_string_append (text, "extensions   ");
  for (guint i = 0; i < gpu->extensions->len; i++)
    g_string_append_printf (text, " %s", (const gchar *) gpu->extensions->pdata[i]);
  g_string_append_printf (text, "%s\n", gpu->extensions->len ? "" : " none");
  for (guint d = 0; d < DEIM_N_DECISIONS; d++)
    g_string_append_printf (text, "%-9s %-3s %s\n", deim_decision_name ((DeimDecision) d),
                            gpu->policy.on[d] ? "on" : "off", gpu->policy.reason[d]);
  return g_string_free (text, FALSE);
}
