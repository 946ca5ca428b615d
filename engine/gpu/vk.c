/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vk.c - opening the Vulkan loader, instances with or without the validation
 * layer, function tables, and the failure path of VK().
 *
 * $DEIM_VALIDATION: "1" turns VK_LAYER_KHRONOS_validation on; "sync" adds its
 * synchronization checks, "gpu" its GPU-assisted ones. $DEIM_VULKAN_LOADER:
 * another loader than libvulkan.so.1. Both are read when the first device of a
 * process is opened or listed.
 */
#include "gpu-private.h"

#include <gmodule.h>

#include "engine/error.h"

#define LAYER   "VK_LAYER_KHRONOS_validation"
#define INSTALL "install a Vulkan loader and a driver (Debian, Ubuntu: libvulkan1 and mesa-vulkan-drivers)"

/* Functions that need no instance. */
typedef struct {
  PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
  DEIM_VK_GLOBAL_FUNCTIONS (DEIM_VK_MEMBER)
} Loader;

static gint validation_messages; /* atomic */

guint
deim_gpu_get_validation_messages (void)
{
  return (guint) g_atomic_int_get (&validation_messages);
}

const gchar *
deim_vk_result_name (VkResult result)
{
#define CASE(name)                                                                                                     \
  case name:                                                                                                           \
    return #name
  switch (result) {
    CASE (VK_SUCCESS);
    CASE (VK_NOT_READY);
    CASE (VK_TIMEOUT);
    CASE (VK_INCOMPLETE);
    CASE (VK_ERROR_OUT_OF_HOST_MEMORY);
    CASE (VK_ERROR_OUT_OF_DEVICE_MEMORY);
    CASE (VK_ERROR_INITIALIZATION_FAILED);
    CASE (VK_ERROR_DEVICE_LOST);
    CASE (VK_ERROR_MEMORY_MAP_FAILED);
    CASE (VK_ERROR_LAYER_NOT_PRESENT);
    CASE (VK_ERROR_EXTENSION_NOT_PRESENT);
    CASE (VK_ERROR_FEATURE_NOT_PRESENT);
    CASE (VK_ERROR_INCOMPATIBLE_DRIVER);
    CASE (VK_ERROR_TOO_MANY_OBJECTS);
    CASE (VK_ERROR_FORMAT_NOT_SUPPORTED);
    CASE (VK_ERROR_FRAGMENTED_POOL);
    CASE (VK_ERROR_OUT_OF_POOL_MEMORY);
    CASE (VK_ERROR_INVALID_EXTERNAL_HANDLE);
    CASE (VK_ERROR_FRAGMENTATION);
    CASE (VK_ERROR_INVALID_SHADER_NV);
  default:
    return result < 0 ? "an unknown Vulkan error" : "an unknown Vulkan result";
  }
#undef CASE
}

void
deim_vk_fail (DeimGpu *gpu, VkResult result, const gchar *call, const gchar *where, GError **error)
{
  const gchar *name = deim_vk_result_name (result);
  const gchar *open = strchr (call, '(');
  g_autofree gchar *function = g_strndup (call, open ? (gsize) (open - call) : strlen (call));
  g_strchomp (function);
  /* "gpu->vk.QueueSubmit" and "instance->CreateDevice" are reported by what the specification calls them. */
  const gchar *base = function;
  for (const gchar *p = function; *p; p++)
    if (*p == '.' || *p == '>')
      base = p + 1;
  if (g_str_has_prefix (base, "vk"))
    base += 2;

  deim_debug ("%s: %s (%d): %s", where, name, result, call);
  switch (result) {
  case VK_ERROR_DEVICE_LOST:
    if (gpu)
      deim_gpu_mark_lost (gpu, TRUE);
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST,
                 "the device \"%s\" was lost in vk%s: drop everything made on it and open the device again",
                 gpu ? gpu->properties.name : "?", base);
    break;
  case VK_ERROR_OUT_OF_HOST_MEMORY:
  case VK_ERROR_OUT_OF_DEVICE_MEMORY:
  case VK_ERROR_OUT_OF_POOL_MEMORY:
  case VK_ERROR_FRAGMENTED_POOL:
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_MEMORY,
                 "vk%s: %s: use a smaller model, input or number of frames in flight", base, name);
    break;
  default:
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE,
                 "vk%s failed with %s: update the driver, or choose another device by its name or index", base, name);
  }
}

/* ----------------------------------------------------------------- loader */

/* The loader stays open for the life of the process, as what it loads does. */
static gboolean
open_loader (Loader *loader, GError **error)
{
  const gchar *name = g_getenv ("DEIM_VULKAN_LOADER");
  if (!name || !*name)
    name = "libvulkan.so.1";
  GModule *module = g_module_open (name, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  gpointer symbol = NULL;
  if (!module || !g_module_symbol (module, "vkGetInstanceProcAddr", &symbol) || !symbol) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE, "the Vulkan loader cannot be opened (%s): " INSTALL,
                 g_module_error ());
    if (module)
      g_module_close (module);
    return FALSE;
  }

  loader->GetInstanceProcAddr = (PFN_vkGetInstanceProcAddr) symbol;
  const gchar *missing = NULL;
#define FETCH(function)                                                                                                \
  loader->function = (PFN_vk##function) loader->GetInstanceProcAddr (NULL, "vk" #function);                            \
  if (!loader->function)                                                                                               \
    missing = "vk" #function;
  DEIM_VK_GLOBAL_FUNCTIONS (FETCH)
#undef FETCH
  if (missing) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE, "the Vulkan loader %s has no %s: " INSTALL, name, missing);
    g_module_close (module);
    return FALSE;
  }
  g_module_make_resident (module);
  return TRUE;
}

/* ------------------------------------------------------------- validation */

static VKAPI_ATTR VkBool32 VKAPI_CALL
on_message (VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
            const VkDebugUtilsMessengerCallbackDataEXT *data, void *user_data)
{
  g_atomic_int_inc (&validation_messages);
  deim_warning ("Vulkan validation: %s", data->pMessage);
  return VK_FALSE; /* let the call go on: the message is what counts */
}

static gboolean
has_layer (const Loader *loader, const gchar *name)
{
  guint32 n = 0;
  if (loader->EnumerateInstanceLayerProperties (&n, NULL) < 0)
    return FALSE;
  g_autofree VkLayerProperties *layers = g_new0 (VkLayerProperties, n);
  if (loader->EnumerateInstanceLayerProperties (&n, layers) < 0)
    return FALSE;
  for (guint32 i = 0; i < n; i++)
    if (strcmp (layers[i].layerName, name) == 0)
      return TRUE;
  return FALSE;
}

/* Whether the validation layer offers extension @name. */
static gboolean
layer_has_extension (const Loader *loader, const gchar *name)
{
  guint32 n = 0;
  if (loader->EnumerateInstanceExtensionProperties (LAYER, &n, NULL) < 0)
    return FALSE;
  g_autofree VkExtensionProperties *extensions = g_new0 (VkExtensionProperties, n);
  if (loader->EnumerateInstanceExtensionProperties (LAYER, &n, extensions) < 0)
    return FALSE;
  for (guint32 i = 0; i < n; i++)
    if (strcmp (extensions[i].extensionName, name) == 0)
      return TRUE;
  return FALSE;
}

/* --------------------------------------------------------------- instance */

static gboolean
open_instance (const Loader *loader, DeimVkInstance *instance, GError **error)
{
  DeimGpu *gpu = NULL; /* for VK() */

  guint32 version = 0;
  VK (loader->EnumerateInstanceVersion (&version));
  if (version < VK_API_VERSION_1_2) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE,
                 "the Vulkan loader is of version %u.%u, 1.2 is needed: update libvulkan1",
                 VK_API_VERSION_MAJOR (version), VK_API_VERSION_MINOR (version));
    return FALSE;
  }

  VkApplicationInfo application = {
    .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
    .pEngineName = "gst-deim",
    .apiVersion = VK_API_VERSION_1_2,
  };
  VkInstanceCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
    .pApplicationInfo = &application,
  };

  const gchar *mode = g_getenv ("DEIM_VALIDATION");
  gboolean validate = mode && *mode && strcmp (mode, "0") != 0;
  const gchar *layers[] = { LAYER };
  const gchar *extensions[2];
  VkDebugUtilsMessengerCreateInfoEXT messenger = {
    .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
    .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
    .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
    .pfnUserCallback = on_message,
  };
  VkValidationFeatureEnableEXT enable = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
  VkValidationFeaturesEXT features = {
    .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
    .enabledValidationFeatureCount = 1,
    .pEnabledValidationFeatures = &enable,
  };
  if (validate) {
    if (!has_layer (loader, LAYER)) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                   "DEIM_VALIDATION is set and " LAYER " is not installed: unset it, or install the layer "
                   "(Debian, Ubuntu: vulkan-validationlayers)");
      return FALSE;
    }
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = layers;
    extensions[info.enabledExtensionCount++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    info.pNext = &messenger; /* for creation and destruction of the instance itself */
    if (strcmp (mode, "gpu") == 0)
      enable = VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT;
    if ((strcmp (mode, "sync") == 0 || strcmp (mode, "gpu") == 0) &&
        layer_has_extension (loader, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME)) {
      extensions[info.enabledExtensionCount++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
      messenger.pNext = &features;
    }
    info.ppEnabledExtensionNames = extensions;
  }

  VkResult result = loader->CreateInstance (&info, NULL, &instance->handle);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
    instance->handle = VK_NULL_HANDLE;
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE, "no Vulkan driver is installed: " INSTALL);
    return FALSE;
  }
  if (result < 0) {
    instance->handle = VK_NULL_HANDLE;
    deim_vk_fail (NULL, result, "vkCreateInstance", G_STRLOC, error);
    return FALSE;
  }

  const gchar *missing = NULL;
#define FETCH_OPTIONAL(function)                                                                                       \
  instance->function = (PFN_vk##function) loader->GetInstanceProcAddr (instance->handle, "vk" #function);
#define FETCH(function)                                                                                                \
  FETCH_OPTIONAL (function)                                                                                            \
  if (!instance->function)                                                                                             \
    missing = "vk" #function;
  DEIM_VK_INSTANCE_FUNCTIONS (FETCH)
  DEIM_VK_INSTANCE_OPTIONAL_FUNCTIONS (FETCH_OPTIONAL)
#undef FETCH
#undef FETCH_OPTIONAL
  if (missing) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE, "the Vulkan loader has no %s: update libvulkan1", missing);
    goto fail;
  }
  if (validate && instance->CreateDebugUtilsMessengerEXT) {
    messenger.pNext = NULL;
    VK (instance->CreateDebugUtilsMessengerEXT (instance->handle, &messenger, NULL, &instance->messenger));
  }
  return TRUE;

fail:
  if (instance->handle && instance->DestroyInstance)
    instance->DestroyInstance (instance->handle, NULL);
  return FALSE;
}

const DeimVkInstance *
deim_vk_instance_get (GError **error)
{
  static GMutex lock;
  static Loader loader;
  static gboolean have_loader, have_instance;
  static DeimVkInstance instance;

  g_mutex_lock (&lock);
  if (!have_loader)
    have_loader = open_loader (&loader, error);
  if (have_loader && !have_instance) {
    memset (&instance, 0, sizeof instance);
    have_instance = open_instance (&loader, &instance, error);
  }
  gboolean ok = have_instance;
  g_mutex_unlock (&lock);
  return ok ? &instance : NULL;
}

gboolean
deim_vk_device_init (DeimVkDevice *vk, const DeimVkInstance *instance, VkDevice device, GError **error)
{
  const gchar *missing = NULL;
#define FETCH_OPTIONAL(function) vk->function = (PFN_vk##function) instance->GetDeviceProcAddr (device, "vk" #function);
#define FETCH(function)                                                                                                \
  FETCH_OPTIONAL (function)                                                                                            \
  if (!vk->function)                                                                                                   \
    missing = "vk" #function;
  DEIM_VK_DEVICE_FUNCTIONS (FETCH)
  DEIM_VK_DEVICE_OPTIONAL_FUNCTIONS (FETCH_OPTIONAL)
#undef FETCH
#undef FETCH_OPTIONAL
  if (missing) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE, "the Vulkan driver has no %s: update it", missing);
    return FALSE;
  }
  return TRUE;
}
