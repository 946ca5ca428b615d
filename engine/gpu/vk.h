/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vk.h - the Vulkan loader at run time, its functions, and checked calls.
 *
 * libvulkan is opened when the first device is, never linked, so that the
 * library and the plugin load on machines without it. Functions of a device
 * are fetched by vkGetDeviceProcAddr() into a table per device, which skips the
 * loader's trampoline and is right with several devices in one process.
 */
#pragma once

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan.h>

#include <glib.h>

/* Debian 12's headers (1.3.239) are older than this extension; values and layout are the registry's. */
#ifndef VK_KHR_cooperative_matrix
#define VK_KHR_cooperative_matrix                                         1
#define VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME                          "VK_KHR_cooperative_matrix"
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR ((VkStructureType) 1000506000)
typedef struct VkPhysicalDeviceCooperativeMatrixFeaturesKHR {
  VkStructureType sType;
  void *pNext;
  VkBool32 cooperativeMatrix;
  VkBool32 cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;
#define VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR ((VkStructureType) 1000506001)
typedef guint32 VkScopeKHR, VkComponentTypeKHR;
#define VK_SCOPE_SUBGROUP_KHR         3
#define VK_COMPONENT_TYPE_FLOAT16_KHR 0
#define VK_COMPONENT_TYPE_FLOAT32_KHR 1
typedef struct VkCooperativeMatrixPropertiesKHR {
  VkStructureType sType;
  void *pNext;
  guint32 MSize, NSize, KSize;
  VkComponentTypeKHR AType, BType, CType, ResultType;
  VkBool32 saturatingAccumulation;
  VkScopeKHR scope;
} VkCooperativeMatrixPropertiesKHR;
typedef VkResult (VKAPI_PTR *PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR) (
    VkPhysicalDevice, guint32 *, VkCooperativeMatrixPropertiesKHR *);
#endif

/* Functions that are used, by the level they are fetched at. */
/* clang-format off */
#define DEIM_VK_GLOBAL_FUNCTIONS(X)                                                                                    \
  X (CreateInstance) X (EnumerateInstanceExtensionProperties) X (EnumerateInstanceLayerProperties)                    \
  X (EnumerateInstanceVersion)

#define DEIM_VK_INSTANCE_FUNCTIONS(X)                                                                                  \
  X (CreateDevice) X (DestroyInstance) X (EnumerateDeviceExtensionProperties) X (EnumeratePhysicalDevices)            \
  X (GetDeviceProcAddr) X (GetPhysicalDeviceExternalBufferProperties) X (GetPhysicalDeviceFeatures2)                  \
  X (GetPhysicalDeviceMemoryProperties) X (GetPhysicalDeviceProperties) X (GetPhysicalDeviceProperties2)              \
  X (GetPhysicalDeviceQueueFamilyProperties)

#define DEIM_VK_INSTANCE_OPTIONAL_FUNCTIONS(X)                                                                         \
  X (CreateDebugUtilsMessengerEXT) X (DestroyDebugUtilsMessengerEXT)                                                  \
  X (GetPhysicalDeviceCooperativeMatrixPropertiesKHR)

#define DEIM_VK_DEVICE_FUNCTIONS(X)                                                                                    \
  X (AllocateCommandBuffers) X (AllocateDescriptorSets) X (AllocateMemory) X (BeginCommandBuffer)                     \
  X (BindBufferMemory) X (CmdBindDescriptorSets) X (CmdBindPipeline) X (CmdCopyBuffer) X (CmdDispatch)                \
  X (CmdFillBuffer) X (CmdPipelineBarrier) X (CmdPushConstants) X (CmdResetQueryPool) X (CmdWriteTimestamp)           \
  X (CreateBuffer) X (CreateBufferView) X (CreateCommandPool) X (CreateComputePipelines) X (CreateDescriptorPool)     \
  X (CreateDescriptorSetLayout) X (CreatePipelineCache) X (CreatePipelineLayout) X (CreateQueryPool)                  \
  X (CreateSemaphore) X (CreateShaderModule) X (DestroyBuffer) X (DestroyBufferView) X (DestroyCommandPool)           \
  X (DestroyDescriptorPool) X (DestroyDescriptorSetLayout) X (DestroyDevice) X (DestroyPipeline)                      \
  X (DestroyPipelineCache) X (DestroyPipelineLayout) X (DestroyQueryPool) X (DestroySemaphore)                        \
  X (DestroyShaderModule) X (DeviceWaitIdle) X (EndCommandBuffer) X (FreeMemory) X (GetBufferDeviceAddress)           \
  X (GetBufferMemoryRequirements) X (GetDeviceQueue) X (GetPipelineCacheData) X (GetQueryPoolResults)                 \
  X (GetSemaphoreCounterValue) X (MapMemory) X (QueueSubmit) X (ResetCommandPool) X (ResetDescriptorPool)             \
  X (UpdateDescriptorSets) X (WaitSemaphores)

#define DEIM_VK_DEVICE_OPTIONAL_FUNCTIONS(X)                                                                           \
  X (GetDeviceFaultInfoEXT) X (GetMemoryFdPropertiesKHR)
/* clang-format on */

#define DEIM_VK_MEMBER(name) PFN_vk##name name;

/* An instance with its functions; the validation layer's messenger when $DEIM_VALIDATION asks for it. */
typedef struct {
  VkInstance handle;
  VkDebugUtilsMessengerEXT messenger;
  DEIM_VK_INSTANCE_FUNCTIONS (DEIM_VK_MEMBER)
  DEIM_VK_INSTANCE_OPTIONAL_FUNCTIONS (DEIM_VK_MEMBER)
} DeimVkInstance;

/* Functions of one device. Optional ones are NULL where missing. */
typedef struct {
  DEIM_VK_DEVICE_FUNCTIONS (DEIM_VK_MEMBER)
  DEIM_VK_DEVICE_OPTIONAL_FUNCTIONS (DEIM_VK_MEMBER)
} DeimVkDevice;

/*
 * The instance of this process, made at the first call and kept for its life: drivers leak a little each time they are
 * unloaded and loaded again (Mesa's do), and loading one with a compiler in it takes long. A failure is not kept, since
 * a driver may be installed while a long-lived program runs. Thread-safety: safe. DEIM_ERROR_NO_DEVICE without a
 * loader, without a driver, or below Vulkan 1.2.
 */
const DeimVkInstance *deim_vk_instance_get (GError **error);

/* Fetches the functions of @device; FALSE with DEIM_ERROR_DEVICE when the driver lacks one that is needed. */
gboolean deim_vk_device_init (DeimVkDevice *vk, const DeimVkInstance *instance, VkDevice device, GError **error);

/* How many warnings and errors the validation layer has reported in this process. 0 unless $DEIM_VALIDATION is set. */
guint deim_gpu_get_validation_messages (void);

const gchar *deim_vk_result_name (VkResult result); /* "VK_ERROR_DEVICE_LOST" */

struct _DeimGpu;

/* Logs a failed call and sets @error; marks @gpu (nullable) lost on VK_ERROR_DEVICE_LOST. */
void deim_vk_fail (struct _DeimGpu *gpu, VkResult result, const gchar *call, const gchar *where, GError **error);

/*
 * Runs one Vulkan call. A negative VkResult is logged with the text of the
 * call and becomes a GError, and control goes to `fail`. In scope: `gpu`
 * (NULL while there is none), `error`, and the label. Calls whose positive
 * results matter (VK_TIMEOUT, VK_NOT_READY, VK_INCOMPLETE) look at them first.
 */
#define VK(call)                                                                                                       \
  G_STMT_START                                                                                                         \
  {                                                                                                                    \
    VkResult vk_result_ = (call);                                                                                      \
    if (G_UNLIKELY (vk_result_ < 0)) {                                                                                 \
      deim_vk_fail (gpu, vk_result_, #call, G_STRLOC, error);                                                          \
      goto fail;                                                                                                       \
    }                                                                                                                  \
  }                                                                                                                    \
  G_STMT_END
