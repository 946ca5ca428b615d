/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-policy.c - every rule of the device policy on made-up properties; needs no GPU. */
#include "engine/gpu/policy.h"

#include <string.h>

#include <vulkan/vulkan_core.h>

#define AMD      0x1002
#define NVIDIA   0x10de
#define INTEL    0x8086
#define QUALCOMM 0x5143
#define APPLE    0x106b

/* A device that can do everything, of a vendor that no rule knows. */
static DeimGpuProperties
capable (gint type)
{
  return (DeimGpuProperties){
    .name = "Test Device 4090",
    .driver = "testdriver 1.2.3",
    .vendor_id = 0x9999,
    .api_version = VK_API_VERSION_1_3,
    .type = type,
    .subgroup_size = 32,
    .min_subgroup_size = 32,
    .max_subgroup_size = 32,
    .subgroup_shuffle = TRUE,
    .subgroup_ballot = TRUE,
    .subgroup_arithmetic = TRUE,
    .subgroup_size_control = TRUE,
    .full_subgroups = TRUE,
    .timeline_semaphore = TRUE,
    .storage_16bit = TRUE,
    .float16 = TRUE,
    .cooperative_matrix = TRUE,
    .memory_model = TRUE,
    .dma_buf = TRUE,
    .dma_buf_buffer = TRUE,
    .compute = TRUE,
    .max_workgroup_invocations = 1024,
    .max_workgroup_size_x = 1024,
    .max_shared_bytes = 32768,
    .max_push_bytes = 128,
    .max_storage_range = G_MAXUINT32,
    .max_texel_elements = 1 << 27,
    .binding_alignment = 16,
  };
}

static DeimGpuProperties
lavapipe (void)
{
  DeimGpuProperties p = capable (VK_PHYSICAL_DEVICE_TYPE_CPU);
  g_strlcpy (p.name, "llvmpipe (LLVM 15.0.6, 256 bits)", sizeof p.name);
  p.driver_id = VK_DRIVER_ID_MESA_LLVMPIPE;
  p.subgroup_size = p.min_subgroup_size = p.max_subgroup_size = 8;
  p.cooperative_matrix = FALSE;
  p.buffer_device_address = p.int64 = TRUE;
  return p;
}

static gboolean
decides (const DeimGpuProperties *p, DeimDecision decision, const gchar *disable)
{
  DeimGpuPolicy policy;
  deim_gpu_policy_decide (&policy, p, disable);
  for (guint d = 0; d < DEIM_N_DECISIONS; d++) { /* whatever is decided, there is a reason */
    g_assert_nonnull (policy.reason[d]);
    g_assert_cmpuint (strlen (policy.reason[d]), >, 4);
  }
  return policy.on[decision];
}

static void
test_names (void)
{
  const gchar *const expected[] = { "cpu",      "texel", "address", "shuffle", "park",  "winograd",
                                    "subgroup", "fp16",  "coopmat", "dmabuf",  "ahead", "batch" };
  G_STATIC_ASSERT (G_N_ELEMENTS (expected) == DEIM_N_DECISIONS);
  for (guint d = 0; d < DEIM_N_DECISIONS; d++)
    g_assert_cmpstr (deim_decision_name ((DeimDecision) d), ==, expected[d]);
  g_assert_null (deim_decision_name (DEIM_N_DECISIONS));
}

static void
test_cpu (void)
{
  DeimGpuProperties p = lavapipe ();
  g_assert_true (decides (&p, DEIM_DECISION_CPU, NULL));
  g_assert_true (decides (&p, DEIM_DECISION_TEXEL, NULL));
  g_assert_true (decides (&p, DEIM_DECISION_AHEAD, "cpu")); /* how the driver compiles is the same for all kernels */
  g_assert_true (decides (&p, DEIM_DECISION_SHUFFLE, NULL));
  g_assert_false (decides (&p, DEIM_DECISION_BATCH, NULL));
  g_assert_true (decides (&p, DEIM_DECISION_WINOGRAD, NULL));
  g_assert_false (decides (&p, DEIM_DECISION_WINOGRAD, "winograd"));
  g_assert_true (decides (&p, DEIM_DECISION_SUBGROUP, NULL));
  g_assert_false (decides (&p, DEIM_DECISION_FP16, NULL));
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL));

  /* Recognised by its driver, whatever type it reports, and by its type, whatever its driver. */
  p.type = VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU;
  g_assert_true (decides (&p, DEIM_DECISION_CPU, NULL));
  p = capable (VK_PHYSICAL_DEVICE_TYPE_CPU);
  g_assert_true (decides (&p, DEIM_DECISION_CPU, NULL));

  p = lavapipe ();
  p.subgroup_shuffle = FALSE;
  g_assert_false (decides (&p, DEIM_DECISION_SHUFFLE, NULL));
  p.max_texel_elements = 65536; /* the specification's floor holds no network */
  g_assert_false (decides (&p, DEIM_DECISION_TEXEL, NULL));
}

/* What one version of Mesa makes of a kernel is not what another does. */
static void
test_mesa (void)
{
  DeimGpuProperties p = lavapipe ();
  g_strlcpy (p.driver, "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)", sizeof p.driver);
  g_assert_false (decides (&p, DEIM_DECISION_PARK, NULL));
  g_assert_false (decides (&p, DEIM_DECISION_ADDRESS, NULL));
  g_strlcpy (p.driver, "llvmpipe Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)", sizeof p.driver);
  g_assert_true (decides (&p, DEIM_DECISION_PARK, NULL));
  g_assert_false (decides (&p, DEIM_DECISION_PARK, "park"));
  g_assert_false (decides (&p, DEIM_DECISION_PARK, "shuffle"));
  g_assert_true (decides (&p, DEIM_DECISION_ADDRESS, NULL));
  g_assert_false (decides (&p, DEIM_DECISION_ADDRESS, "texel"));
  p.int64 = FALSE;
  g_assert_false (decides (&p, DEIM_DECISION_ADDRESS, NULL));
  g_strlcpy (p.driver, "llvmpipe", sizeof p.driver);
  g_assert_false (decides (&p, DEIM_DECISION_PARK, NULL));
  g_strlcpy (p.driver, "llvmpipe Mesa 26.1.0", sizeof p.driver);
  g_assert_true (decides (&p, DEIM_DECISION_PARK, NULL));
}

static void
test_gpu (void)
{
  const gint types[] = { VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU,
                         VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU };
  for (guint i = 0; i < G_N_ELEMENTS (types); i++) {
    DeimGpuProperties p = capable (types[i]);
    g_assert_false (decides (&p, DEIM_DECISION_CPU, NULL));
    g_assert_false (decides (&p, DEIM_DECISION_TEXEL, NULL));
    g_assert_false (decides (&p, DEIM_DECISION_SHUFFLE, NULL));
    g_assert_true (decides (&p, DEIM_DECISION_SUBGROUP, NULL));
    g_assert_true (decides (&p, DEIM_DECISION_DMABUF, NULL));
    g_assert_false (decides (&p, DEIM_DECISION_DMABUF, "fp16,dmabuf"));
    g_assert_true (decides (&p, DEIM_DECISION_BATCH, NULL));
    p.dma_buf_buffer = FALSE; /* imports images only */
    g_assert_false (decides (&p, DEIM_DECISION_DMABUF, NULL));
    p.dma_buf = FALSE;
    g_assert_false (decides (&p, DEIM_DECISION_DMABUF, NULL));
  }
}

static void
test_subgroup (void)
{
  DeimGpuProperties p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  p.subgroup_arithmetic = FALSE;
  g_assert_false (decides (&p, DEIM_DECISION_SUBGROUP, NULL));

  p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  p.driver_id = VK_DRIVER_ID_MOLTENVK;
  p.vendor_id = APPLE;
  g_assert_true (decides (&p, DEIM_DECISION_SUBGROUP, NULL));
  p.vendor_id = AMD;
  g_assert_false (decides (&p, DEIM_DECISION_SUBGROUP, NULL));

  p = capable (VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU);
  g_strlcpy (p.driver, "KosmicKrisp Mesa 25.3", sizeof p.driver);
  g_assert_false (decides (&p, DEIM_DECISION_SUBGROUP, NULL));

  p = capable (VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU);
  p.vendor_id = QUALCOMM;
  g_assert_false (decides (&p, DEIM_DECISION_SUBGROUP, NULL));

  p.vendor_id = INTEL;
  g_assert_true (decides (&p, DEIM_DECISION_SUBGROUP, NULL));
  p.subgroup_size_control = FALSE;
  g_assert_false (decides (&p, DEIM_DECISION_SUBGROUP, NULL));
}

static void
test_coopmat (void)
{
  DeimGpuProperties p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL)); /* an unknown vendor */

  p.vendor_id = NVIDIA;
  g_assert_true (decides (&p, DEIM_DECISION_COOPMAT, NULL));
  gboolean *const needed[] = { &p.cooperative_matrix, &p.float16, &p.storage_16bit, &p.memory_model,
                               &p.full_subgroups };
  for (guint i = 0; i < G_N_ELEMENTS (needed); i++) {
    *needed[i] = FALSE;
    g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL));
    *needed[i] = TRUE;
  }
  p.subgroup_size_control = FALSE; /* 32 to 32: there is nothing to fix */
  g_assert_true (decides (&p, DEIM_DECISION_COOPMAT, NULL));
  p.max_subgroup_size = 64;
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL));

  p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  p.vendor_id = AMD; /* RDNA: 32 to 64 */
  p.max_subgroup_size = 64;
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL)); /* RDNA2 */
  p.mixed_dot = TRUE;
  g_assert_true (decides (&p, DEIM_DECISION_COOPMAT, NULL)); /* RDNA3 */
  p.min_subgroup_size = 64;
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL)); /* GCN, CDNA */

  p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  p.vendor_id = INTEL;
  p.min_subgroup_size = 8;
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL)); /* Xe1, A770 */
  p.min_subgroup_size = 16;
  g_assert_true (decides (&p, DEIM_DECISION_COOPMAT, NULL)); /* Xe2 */

  p = capable (VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU);
  p.vendor_id = QUALCOMM;
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL));

  /* Newer lavapipes emulate them: a GPU's kernels can be tested there, and only there they are used. */
  p = lavapipe ();
  p.cooperative_matrix = TRUE;
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, NULL));
  g_assert_true (decides (&p, DEIM_DECISION_COOPMAT, "cpu"));
}

static void
test_matrix_shapes (void)
{
  const struct {
    DeimMatrixShape shapes[3];
    guint picked; /* 3: none */
  } rows[] = {
    { { { 16, 16, 16 } }, 0 },
    { { { 8, 8, 8 }, { 16, 16, 16 }, { 16, 8, 8 } }, 1 },
    { { { 8, 16, 16 } }, 0 },                 /* Xe2 */
    { { { 64, 64, 16 }, { 16, 16, 8 } }, 1 }, /* the first does not fit the kernels */
    { { { 12, 16, 16 }, { 16, 24, 16 } }, 3 },
    { { { 0, 0, 0 } }, 3 },
  };
  DeimGpuProperties p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  p.vendor_id = NVIDIA;
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    DeimGpuPolicy policy;
    deim_gpu_policy_decide (&policy, &p, NULL);
    deim_gpu_policy_pick_matrix (&policy, rows[i].shapes, 3);
    g_assert_cmpint (policy.on[DEIM_DECISION_COOPMAT], ==, rows[i].picked < 3);
    if (rows[i].picked < 3)
      g_assert_cmpmem (&policy.matrix, sizeof policy.matrix, &rows[i].shapes[rows[i].picked], sizeof policy.matrix);
    deim_gpu_policy_decide (&policy, &p, "coopmat"); /* stays off */
    deim_gpu_policy_pick_matrix (&policy, rows[i].shapes, 3);
    g_assert_false (policy.on[DEIM_DECISION_COOPMAT]);
  }
}

static void
test_disable (void)
{
  DeimGpuProperties p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  p.vendor_id = NVIDIA;
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, "coopmat"));
  g_assert_true (decides (&p, DEIM_DECISION_SUBGROUP, "coopmat"));
  g_assert_false (decides (&p, DEIM_DECISION_COOPMAT, " fp16 , CoopMat,subgroup"));
  g_assert_false (decides (&p, DEIM_DECISION_SUBGROUP, " fp16 , CoopMat,subgroup"));
  g_assert_true (decides (&p, DEIM_DECISION_COOPMAT, "coopmatrix,coop,"));
  g_assert_true (decides (&p, DEIM_DECISION_COOPMAT, ""));

  DeimGpuPolicy policy;
  deim_gpu_policy_decide (&policy, &p, "dmabuf");
  g_assert_nonnull (strstr (policy.reason[DEIM_DECISION_DMABUF], "DEIM_DISABLE"));
  g_assert_null (strstr (policy.reason[DEIM_DECISION_COOPMAT], "DEIM_DISABLE"));

  /* Without "cpu", a software device gets a GPU's kernels. */
  p = lavapipe ();
  g_assert_false (decides (&p, DEIM_DECISION_CPU, "cpu"));
  g_assert_false (decides (&p, DEIM_DECISION_TEXEL, "cpu"));
  g_assert_false (decides (&p, DEIM_DECISION_SHUFFLE, "cpu"));

  g_assert_null (deim_gpu_policy_find_unknown (NULL));
  g_assert_null (deim_gpu_policy_find_unknown (""));
  g_assert_null (
      deim_gpu_policy_find_unknown ("cpu, texel,address,SHUFFLE,park,subgroup,fp16,coopmat,dmabuf,ahead,batch,"));
  g_autofree gchar *unknown = deim_gpu_policy_find_unknown ("fp16, fp64 ,dot");
  g_assert_cmpstr (unknown, ==, "fp64");
}

static void
test_subgroup_size (void)
{
  const struct {
    guint size, min, max;
    gboolean control;
    guint expected;
  } rows[] = {
    { 8, 8, 8, TRUE, 8 },      /* lavapipe, AVX */
    { 4, 4, 4, TRUE, 4 },      /* lavapipe, NEON */
    { 32, 32, 32, TRUE, 32 },  /* NVIDIA */
    { 64, 32, 64, TRUE, 32 },  /* AMD RDNA */
    { 64, 64, 64, TRUE, 64 },  /* AMD GCN */
    { 64, 64, 64, FALSE, 64 }, /* the same without the extension */
    { 32, 8, 32, TRUE, 32 },   /* Intel */
    { 16, 4, 16, TRUE, 16 },   /* all sizes below 32 */
    { 128, 64, 128, TRUE, 64 } /* all above */
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    DeimGpuProperties p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
    p.subgroup_size = rows[i].size;
    p.min_subgroup_size = rows[i].min;
    p.max_subgroup_size = rows[i].max;
    p.subgroup_size_control = rows[i].control;
    DeimGpuPolicy policy;
    deim_gpu_policy_decide (&policy, &p, NULL);
    g_assert_cmpuint (policy.subgroup_size, ==, rows[i].expected);
  }
}

static void
test_usable (void)
{
  const gchar *untouched = "untouched";
  const gchar *reason = untouched;
  DeimGpuProperties p = lavapipe ();
  g_assert_true (deim_gpu_policy_usable (&p, &reason));
  g_assert_true (reason == untouched);

  DeimGpuProperties bad[7];
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    bad[i] = p;
  bad[0].api_version = VK_API_VERSION_1_1;
  bad[1].compute = FALSE;
  bad[2].timeline_semaphore = FALSE;
  bad[3].max_push_bytes = 64;
  bad[4].max_workgroup_invocations = 32;
  bad[5].max_workgroup_size_x = 32;
  bad[6].max_shared_bytes = 8192;
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    reason = untouched;
    g_assert_false (deim_gpu_policy_usable (&bad[i], &reason));
    g_assert_true (reason != untouched && reason != NULL);
    g_assert_false (deim_gpu_policy_usable (&bad[i], NULL));
  }

  /* Raspberry Pi 5: 256 invocations and 16 KiB have to be enough. */
  p.max_workgroup_invocations = 256;
  p.max_workgroup_size_x = 256;
  p.max_shared_bytes = 16384;
  g_assert_true (deim_gpu_policy_usable (&p, NULL));
}

static void
test_rank (void)
{
  const gint order[] = { VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU,
                         VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU, VK_PHYSICAL_DEVICE_TYPE_OTHER,
                         VK_PHYSICAL_DEVICE_TYPE_CPU };
  for (guint i = 1; i < G_N_ELEMENTS (order); i++) {
    DeimGpuProperties better = capable (order[i - 1]);
    DeimGpuProperties worse = capable (order[i]);
    g_assert_cmpint (deim_gpu_policy_rank (&better), >, deim_gpu_policy_rank (&worse));
  }
  DeimGpuProperties odd = lavapipe ();
  odd.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  DeimGpuProperties other = capable (VK_PHYSICAL_DEVICE_TYPE_OTHER);
  g_assert_cmpint (deim_gpu_policy_rank (&odd), <, deim_gpu_policy_rank (&other));
}

static void
test_matches (void)
{
  DeimGpuProperties p = capable (VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU); /* "Test Device 4090" */
  for (guint i = 0; i < 16; i++)
    p.device_uuid[i] = (guint8) (0x10 * i + i);

  g_assert_true (deim_gpu_policy_matches (&p, 3, NULL));
  g_assert_true (deim_gpu_policy_matches (&p, 3, ""));
  g_assert_true (deim_gpu_policy_matches (&p, 3, "3"));
  g_assert_false (deim_gpu_policy_matches (&p, 3, "0"));
  g_assert_false (deim_gpu_policy_matches (&p, 3, "409")); /* an index */
  g_assert_true (deim_gpu_policy_matches (&p, 3, "4090")); /* part of the name */
  g_assert_true (deim_gpu_policy_matches (&p, 3, "test dev"));
  g_assert_true (deim_gpu_policy_matches (&p, 3, "DEVICE"));
  g_assert_false (deim_gpu_policy_matches (&p, 3, "other"));
  g_assert_true (deim_gpu_policy_matches (&p, 3, "00112233445566778899aabbccddeeff"));
  g_assert_true (deim_gpu_policy_matches (&p, 3, "00112233-4455-6677-8899-AABBCCDDEEFF"));
  g_assert_false (deim_gpu_policy_matches (&p, 3, "00112233-4455-6677-8899-AABBCCDDEEFE"));
  g_assert_false (deim_gpu_policy_matches (&p, 3, "00112233445566778899aabbccddeeff00"));
  g_assert_false (deim_gpu_policy_matches (&p, 3, "-"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy/names", test_names);
  g_test_add_func ("/policy/cpu", test_cpu);
  g_test_add_func ("/policy/mesa", test_mesa);
  g_test_add_func ("/policy/gpu", test_gpu);
  g_test_add_func ("/policy/subgroup", test_subgroup);
  g_test_add_func ("/policy/coopmat", test_coopmat);
  g_test_add_func ("/policy/matrix-shapes", test_matrix_shapes);
  g_test_add_func ("/policy/disable", test_disable);
  g_test_add_func ("/policy/subgroup-size", test_subgroup_size);
  g_test_add_func ("/policy/usable", test_usable);
  g_test_add_func ("/policy/rank", test_rank);
  g_test_add_func ("/policy/matches", test_matches);
  return g_test_run ();
}
