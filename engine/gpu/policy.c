/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy.c - the device policy: one function per decision, each with the
 * reason that `deim info --device` prints. A rule about a vendor names the
 * public issue it comes from. Rules are always late; what they miss is for the
 * self-test at load to find.
 */
#include "policy.h"

#include <string.h>

#include <vulkan/vulkan_core.h>

#define VENDOR_AMD      0x1002
#define VENDOR_NVIDIA   0x10de
#define VENDOR_INTEL    0x8086
#define VENDOR_QUALCOMM 0x5143

/* Least limits that the kernels of shaders/ stay within (Raspberry Pi 5 has 256 invocations and 16 KiB). */
#define MIN_INVOCATIONS     128
#define MIN_SHARED          16384
#define MIN_SHARED_MATRICES 32256 /* conv_coopmat.comp's tile 16x128, at most, with subgroups of 16 and more */
#define MIN_PUSH            128

static const gchar *const decision_names[DEIM_N_DECISIONS] = {
  [DEIM_DECISION_CPU] = "cpu",         [DEIM_DECISION_TEXEL] = "texel",       [DEIM_DECISION_SHUFFLE] = "shuffle",
  [DEIM_DECISION_PARK] = "park",       [DEIM_DECISION_WINOGRAD] = "winograd", [DEIM_DECISION_SUBGROUP] = "subgroup",
  [DEIM_DECISION_FP16] = "fp16",       [DEIM_DECISION_COOPMAT] = "coopmat",   [DEIM_DECISION_DMABUF] = "dmabuf",
  [DEIM_DECISION_ADDRESS] = "address", [DEIM_DECISION_AHEAD] = "ahead",       [DEIM_DECISION_BATCH] = "batch",
};

const gchar *
deim_decision_name (DeimDecision decision)
{
  return (guint) decision < DEIM_N_DECISIONS ? decision_names[decision] : NULL;
}

/* -------------------------------------------------------------- decisions */

/* Each returns the decision and sets *reason; @policy holds the decisions before it in the enum. */
typedef gboolean (*DecideFunc) (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason);

static gboolean
decide_cpu (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (p->driver_id == VK_DRIVER_ID_MESA_LLVMPIPE) {
    *reason = "Mesa's lavapipe runs shaders on the CPU: kernels without shared memory";
    return TRUE;
  }
  if (p->type == VK_PHYSICAL_DEVICE_TYPE_CPU) {
    *reason = "the driver calls itself a CPU: kernels without shared memory";
    return TRUE;
  }
  *reason = "a GPU";
  return FALSE;
}

static gboolean
decide_texel (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!policy->on[DEIM_DECISION_CPU]) {
    *reason = "storage buffers are a GPU's fast path, and 65536 texels are all that is guaranteed";
    return FALSE;
  }
  /* A network's arena is far larger than the 65536 texels of the specification's floor; lavapipe offers 2^27. */
  if (p->max_texel_elements < (G_GUINT64_CONSTANT (1) << 22)) {
    *reason = "texel buffers of this device are too small for a network";
    return FALSE;
  }
  *reason = "texel fetches compile to loads without branches here, storage buffer loads to loops over lanes";
  return TRUE;
}

/* Mesa's major version, from "llvmpipe Mesa 25.0.7-2 (LLVM 15.0.6)"; lavapipe's own driverVersion is always 1. 0: not
 * known. */
static guint
mesa_version (const DeimGpuProperties *p)
{
  const gchar *at = p->driver_id == VK_DRIVER_ID_MESA_LLVMPIPE ? strstr (p->driver, "Mesa ") : NULL;
  return at ? (guint) g_ascii_strtoull (at + strlen ("Mesa "), NULL, 10) : 0;
}

/* docs/performance.md has the figures of 22.3 and 25.0; what lies between was not measured. */
static gboolean
decide_address (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!policy->on[DEIM_DECISION_TEXEL]) {
    *reason = "storage buffers are read and written alike";
    return FALSE;
  }
  if (!p->buffer_device_address || !p->int64) {
    *reason = "the driver has no buffer addresses or no 64-bit integers";
    return FALSE;
  }
  if (mesa_version (p) < 25) {
    *reason = "before Mesa 25 a store through an address costs more than one to a storage buffer";
    return FALSE;
  }
  *reason = "a store through an address needs no check of bounds, which takes most of the time to compile a kernel";
  return TRUE;
}

static gboolean
decide_shuffle (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!policy->on[DEIM_DECISION_CPU]) {
    *reason = "on a GPU shuffles compete with arithmetic: every lane reads its operands";
    return FALSE;
  }
  if (!p->subgroup_shuffle) {
    *reason = "the driver has no subgroup shuffle";
    return FALSE;
  }
  *reason = "a shuffle from a constant lane is one instruction here";
  return TRUE;
}

/* See decide_address(). */
static gboolean
decide_park (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!policy->on[DEIM_DECISION_SHUFFLE]) {
    *reason = "operands are not exchanged inside a subgroup";
    return FALSE;
  }
  if (mesa_version (p) < 25) {
    *reason = "before Mesa 25 an array in memory is a chain of conditions, and a broadcast a loop over lanes";
    return FALSE;
  }
  *reason = "an array in memory costs a load here, and a broadcast from it is one, too";
  return TRUE;
}

/* docs/performance.md has the figures. */
static gboolean
decide_winograd (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!policy->on[DEIM_DECISION_CPU]) {
    *reason = "a GPU has arithmetic to spare, and fp16 no digits";
    return FALSE;
  }
  *reason = "a quarter of the multiplications for about twice the error of rounding (precision=fp32 has none of it)";
  return TRUE;
}

static gboolean
decide_subgroup (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!p->subgroup_arithmetic) {
    *reason = "the driver has no subgroup arithmetic";
    return FALSE;
  }
  /* ggml-org/llama.cpp #15846, #15886: wrong sums on AMD hardware below MoltenVK. */
  if (p->driver_id == VK_DRIVER_ID_MOLTENVK && p->vendor_id == VENDOR_AMD) {
    *reason = "MoltenVK on AMD computes subgroup arithmetic wrongly (llama.cpp #15846)";
    return FALSE;
  }
  /* vllm-vulkan pull request 22: wrong subgroupAdd. The headers have no driver id for it yet. */
  if (strstr (p->driver, "KosmicKrisp")) {
    *reason = "KosmicKrisp computes subgroup sums wrongly (vllm-vulkan #22)";
    return FALSE;
  }
  /* Tencent/ncnn #6778: subgroup kernels fail on Adreno. */
  if (p->vendor_id == VENDOR_QUALCOMM) {
    *reason = "subgroup kernels fail on Adreno (ncnn #6778)";
    return FALSE;
  }
  /* Intel compiles a kernel for 8, 16 or 32 lanes as it likes; kernels are specialized for one size. */
  if (p->vendor_id == VENDOR_INTEL && !p->subgroup_size_control) {
    *reason = "the subgroup size varies and this driver cannot fix it";
    return FALSE;
  }
  *reason = "reductions need no shared memory inside a subgroup";
  return TRUE;
}

static gboolean
decide_fp16 (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  /* Storage alone, packed by packHalf2x16 and computed on in fp32: no feature of the device is needed. */
  if (policy->on[DEIM_DECISION_CPU]) {
    *reason = "measured on the CPU: no gain from half the bytes (precision=fp16 works all the same)";
    return FALSE;
  }
  *reason = "half the memory traffic; sums stay in fp32, and the self-test at load compares them";
  return TRUE;
}

static gboolean
decide_coopmat (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!p->cooperative_matrix || !p->float16 || !p->storage_16bit || !p->memory_model || !p->full_subgroups) {
    *reason = "the driver lacks VK_KHR_cooperative_matrix, fp16, the memory model or full subgroups";
    return FALSE;
  }
  if (p->max_shared_bytes < MIN_SHARED_MATRICES) {
    *reason = "the kernel of matrices needs 32256 bytes of shared memory";
    return FALSE;
  }
  if (!p->subgroup_size_control && p->min_subgroup_size != p->max_subgroup_size) {
    *reason = "matrices are spread over a subgroup, whose size cannot be fixed here";
    return FALSE;
  }
  if (policy->on[DEIM_DECISION_CPU]) {
    *reason = "a CPU has no unit for them";
    return FALSE;
  }
  if (p->driver_id == VK_DRIVER_ID_MESA_LLVMPIPE) {
    *reason = "emulated by lavapipe, for tests of a GPU's kernels";
    return TRUE;
  }
  switch (p->vendor_id) {
  case VENDOR_NVIDIA:
    *reason = "tensor cores";
    return TRUE;
  case VENDOR_AMD:
    /* Advertised on RDNA2 and emulated there, slowly (ncnn src/gpu.cpp keeps a list of device ids; ggml-vulkan
     * ggml_vk_khr_cooperative_matrix_support). RDNA has subgroups of 32 to 64; v_dot4_i32_iu8 came with RDNA3.
     * Merely querying shapes crashes some drivers that are off here: llama.cpp #22750. */
    if (p->min_subgroup_size == 32 && p->mixed_dot) {
      *reason = "WMMA units of RDNA3 and later";
      return TRUE;
    }
    *reason = "emulated before RDNA3, slower than plain kernels (ncnn, ggml)";
    return FALSE;
  case VENDOR_INTEL:
    /* llama.cpp #24404: regressions down to 0.0007x on Xe1 and A770. Xe2 has no subgroups of 8 any more. */
    if (p->min_subgroup_size >= 16) {
      *reason = "XMX units of Xe2 and later";
      return TRUE;
    }
    *reason = "slower than plain kernels before Xe2 (llama.cpp #24404)";
    return FALSE;
  case VENDOR_QUALCOMM:
    *reason = "unusable on Adreno (ncnn #6778)";
    return FALSE;
  default:
    *reason = "nobody has reported it to work well on this vendor's devices";
    return FALSE;
  }
}

static gboolean
decide_dmabuf (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (!p->dma_buf) {
    *reason = "the driver lacks VK_EXT_external_memory_dma_buf";
    return FALSE;
  }
  if (!p->dma_buf_buffer) {
    *reason = "the driver imports DMABuf memory for images only";
    return FALSE;
  }
  *reason = "shaders read a frame where a decoder or camera wrote it";
  return TRUE;
}

static gboolean
decide_ahead (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (p->driver_id == VK_DRIVER_ID_MESA_LLVMPIPE) {
    *reason = "lavapipe compiles a kernel inside its first dispatch, in one thread, and keeps it on disk";
    return TRUE;
  }
  *reason = "the driver compiles where a pipeline is created";
  return FALSE;
}

static gboolean
decide_batch (const DeimGpuProperties *p, const DeimGpuPolicy *policy, const gchar **reason)
{
  if (policy->on[DEIM_DECISION_CPU]) {
    *reason = "a CPU computes a batch no quicker than its frames one by one, and then the first ones are done sooner";
    return FALSE;
  }
  *reason = "one frame's small maps leave much of a GPU idle";
  return TRUE;
}

static const DecideFunc decide[DEIM_N_DECISIONS] = {
  [DEIM_DECISION_CPU] = decide_cpu,           [DEIM_DECISION_TEXEL] = decide_texel,
  [DEIM_DECISION_SHUFFLE] = decide_shuffle,   [DEIM_DECISION_PARK] = decide_park,
  [DEIM_DECISION_WINOGRAD] = decide_winograd, [DEIM_DECISION_SUBGROUP] = decide_subgroup,
  [DEIM_DECISION_FP16] = decide_fp16,         [DEIM_DECISION_COOPMAT] = decide_coopmat,
  [DEIM_DECISION_ADDRESS] = decide_address,   [DEIM_DECISION_DMABUF] = decide_dmabuf,
  [DEIM_DECISION_AHEAD] = decide_ahead,       [DEIM_DECISION_BATCH] = decide_batch,
};

/* ------------------------------------------------------------------- rest */

static gboolean
is_listed (const gchar *list, const gchar *name)
{
  if (!list)
    return FALSE;
  g_auto (GStrv) words = g_strsplit (list, ",", -1);
  for (guint i = 0; words[i]; i++)
    if (g_ascii_strcasecmp (g_strstrip (words[i]), name) == 0)
      return TRUE;
  return FALSE;
}

gchar *
deim_gpu_policy_find_unknown (const gchar *disable)
{
  g_auto (GStrv) words = g_strsplit (disable ? disable : "", ",", -1);
  for (guint i = 0; words[i]; i++) {
    const gchar *word = g_strstrip (words[i]);
    gboolean known = *word == '\0';
    for (guint d = 0; d < DEIM_N_DECISIONS && !known; d++)
      known = g_ascii_strcasecmp (word, decision_names[d]) == 0;
    if (!known)
      return g_strdup (word);
  }
  return NULL;
}

/* Warps of 32 suit the tiles where the driver leaves a choice (AMD 32 or 64, Intel 8 to 32). */
static guint
pick_subgroup_size (const DeimGpuProperties *p)
{
  if (p->subgroup_size_control && p->min_subgroup_size != p->max_subgroup_size)
    return CLAMP (32, p->min_subgroup_size, p->max_subgroup_size);
  return MAX (p->subgroup_size, 1);
}

void
deim_gpu_policy_decide (DeimGpuPolicy *policy, const DeimGpuProperties *properties, const gchar *disable)
{
  memset (policy, 0, sizeof *policy);
  for (guint d = 0; d < DEIM_N_DECISIONS; d++) {
    policy->on[d] = decide[d](properties, policy, &policy->reason[d]);
    if (policy->on[d] && is_listed (disable, decision_names[d])) {
      policy->on[d] = FALSE;
      policy->reason[d] = "turned off by DEIM_DISABLE";
    }
  }
  policy->subgroup_size = pick_subgroup_size (properties);
}

/* shaders/conv_coopmat.comp gives each subgroup 16 or 32 channels and positions, and takes at least 32 input channels a
 * turn. */
static gboolean
fits_kernels (const DeimMatrixShape *shape)
{
  return shape->m >= 4 && shape->n && shape->k >= 4 && 16 % shape->m == 0 && 16 % shape->n == 0 && 32 % shape->k == 0;
}

void
deim_gpu_policy_pick_matrix (DeimGpuPolicy *policy, const DeimMatrixShape *shapes, guint n_shapes)
{
  guint best = 0;
  if (!policy->on[DEIM_DECISION_COOPMAT])
    return;
  for (guint i = 0; i < n_shapes; i++) {
    guint size = shapes[i].m * shapes[i].n * shapes[i].k;
    if (!fits_kernels (&shapes[i]) || size <= best)
      continue;
    best = size; /* the larger one does more with each operand that it is given */
    policy->matrix = shapes[i];
  }
  if (best)
    return;
  policy->on[DEIM_DECISION_COOPMAT] = FALSE;
  policy->reason[DEIM_DECISION_COOPMAT] = "the device has none of fp16 with sums in fp32 that fits the kernels";
}

gboolean
deim_gpu_policy_usable (const DeimGpuProperties *p, const gchar **ret_reason)
{
  const gchar *reason = NULL;
  if (p->api_version < VK_API_VERSION_1_2)
    reason = "its driver is older than Vulkan 1.2";
  else if (!p->compute)
    reason = "it has no compute queue";
  else if (!p->timeline_semaphore)
    reason = "its driver has no timeline semaphores";
  else if (p->max_push_bytes < MIN_PUSH)
    reason = "it has less than 128 bytes of push constants";
  else if (p->max_workgroup_invocations < MIN_INVOCATIONS || p->max_workgroup_size_x < MIN_INVOCATIONS)
    reason = "its workgroups are smaller than 128 invocations";
  else if (p->max_shared_bytes < MIN_SHARED)
    reason = "it has less than 16 KiB of shared memory";
  else if (!p->subgroup_shuffle || !p->subgroup_ballot || !p->subgroup_arithmetic)
    reason =
        "its driver lacks subgroup shuffles, ballots or arithmetic in compute shaders, which kernels are built with";
  if (reason && ret_reason)
    *ret_reason = reason;
  return reason == NULL;
}

gint
deim_gpu_policy_rank (const DeimGpuProperties *p)
{
  if (p->driver_id == VK_DRIVER_ID_MESA_LLVMPIPE)
    return 0;
  switch (p->type) {
  case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
    return 4;
  case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
    return 3;
  case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
    return 2;
  case VK_PHYSICAL_DEVICE_TYPE_CPU:
    return 0;
  default:
    return 1;
  }
}

/* Whether @selector is 32 hex digits, with dashes anywhere, that spell @uuid; *is_uuid whether it is any UUID. */
static gboolean
matches_uuid (const guint8 uuid[16], const gchar *selector, gboolean *is_uuid)
{
  guint8 bytes[16] = { 0 };
  guint digits = 0;
  *is_uuid = FALSE;
  for (const gchar *p = selector; *p; p++) {
    if (*p == '-')
      continue;
    if (!g_ascii_isxdigit (*p) || digits == 32)
      return FALSE;
    bytes[digits / 2] = (guint8) (bytes[digits / 2] << 4 | g_ascii_xdigit_value (*p));
    digits++;
  }
  *is_uuid = digits == 32;
  return *is_uuid && memcmp (bytes, uuid, sizeof bytes) == 0;
}

gboolean
deim_gpu_policy_matches (const DeimGpuProperties *properties, guint index, const gchar *selector)
{
  if (!selector || !*selector)
    return TRUE;

  gsize length = strlen (selector);
  if (length <= 3 && strspn (selector, "0123456789") == length)
    return g_ascii_strtoull (selector, NULL, 10) == index;

  gboolean is_uuid;
  if (matches_uuid (properties->device_uuid, selector, &is_uuid))
    return TRUE;
  if (is_uuid)
    return FALSE;

  g_autofree gchar *name = g_utf8_casefold (properties->name, -1);
  g_autofree gchar *part = g_utf8_casefold (selector, -1);
  return strstr (name, part) != NULL;
}
