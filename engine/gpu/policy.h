/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy.h - what to use of a device, as pure functions of its properties.
 * No Vulkan call is made here, so that every rule is tested without a GPU.
 */
#pragma once

#include <glib.h>

/* What the driver reports, reduced to what decisions need. */
typedef struct {
  gchar name[256];
  gchar driver[256]; /* "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)" */
  guint32 vendor_id, device_id, driver_version, api_version;
  guint32 driver_id; /* VkDriverId */
  guint8 device_uuid[16], driver_uuid[16], cache_uuid[16];
  gint type; /* VkPhysicalDeviceType */
  guint subgroup_size, min_subgroup_size, max_subgroup_size;
  gboolean subgroup_shuffle, subgroup_ballot, subgroup_arithmetic, subgroup_size_control;
  gboolean full_subgroups; /* can promise that all invocations of a workgroup are in full subgroups */
  gboolean timeline_semaphore, buffer_device_address, int64;
  gboolean storage_16bit, float16, cooperative_matrix;
  gboolean dma_buf;        /* has the extensions that import DMABuf memory */
  gboolean dma_buf_buffer; /* and can import it for buffers */
  gboolean memory_model;   /* Vulkan memory model, which cooperative matrices are written against */
  gboolean mixed_dot;      /* accelerated dot product of mixed signedness: on AMD, RDNA3 and later */
  gboolean compute;        /* has a queue family for compute */
  guint max_workgroup_invocations, max_workgroup_size_x, max_shared_bytes, max_push_bytes;
  guint64 max_storage_range, max_texel_elements;
  guint binding_alignment;     /* max of storage and texel buffer offset alignments, at least 16 */
  gdouble timestamp_period_ns; /* 0: no timestamps on the compute queue */
  gboolean unified_memory;     /* device-local memory is host-visible */
  guint64 device_memory;
} DeimGpuProperties;

typedef enum {
  DEIM_DECISION_CPU,      /* software device: its own kernel choices */
  DEIM_DECISION_TEXEL,    /* read operands through texel buffers */
  DEIM_DECISION_ADDRESS,  /* write results through their addresses */
  DEIM_DECISION_SHUFFLE,  /* exchange operands inside a subgroup */
  DEIM_DECISION_PARK,     /* keep arrays of a kernel in memory, and broadcast from there */
  DEIM_DECISION_WINOGRAD, /* 3x3 convolutions by Winograd's transforms, where the precision is left to us */
  DEIM_DECISION_SUBGROUP, /* reductions by subgroup operations */
  DEIM_DECISION_FP16,     /* fp16 storage by default (precision=auto) */
  DEIM_DECISION_COOPMAT,  /* cooperative matrices */
  DEIM_DECISION_DMABUF,   /* import of DMABuf memory */
  DEIM_DECISION_AHEAD,    /* compile kernels ahead, on copies of the device */
  DEIM_DECISION_BATCH,    /* compute frames of several streams together by default */
  DEIM_N_DECISIONS
} DeimDecision;

/* A shape in which the device multiplies matrices: M x K by K x N of fp16, added up in fp32, by a subgroup. */
typedef struct {
  guint m, n, k;
} DeimMatrixShape;

typedef struct {
  gboolean on[DEIM_N_DECISIONS];
  const gchar *reason[DEIM_N_DECISIONS]; /* a sentence, static or interned */
  guint subgroup_size;                   /* that kernels are specialized for */
  DeimMatrixShape matrix;                /* of DEIM_DECISION_COOPMAT */
} DeimGpuPolicy;

const gchar *deim_decision_name (DeimDecision decision); /* "texel" */

/* The first word of the list @disable that is no decision's name, or NULL. Free with g_free(). */
gchar *deim_gpu_policy_find_unknown (const gchar *disable);

/* @disable: a comma-separated list of decision names that are turned off ($DEIM_DISABLE), or NULL. Without "cpu", a
 * software device gets the kernels of a GPU. */
void deim_gpu_policy_decide (DeimGpuPolicy *policy, const DeimGpuProperties *properties, const gchar *disable);

/* Picks the shape of cooperative matrices among those that the device has, or turns DEIM_DECISION_COOPMAT off where
 * none fits the kernels. A step of its own, because some drivers crash when they are asked for their shapes: they are
 * asked where the decision is on. */
void deim_gpu_policy_pick_matrix (DeimGpuPolicy *policy, const DeimMatrixShape *shapes, guint n_shapes);

/* Whether the device can be used at all; if not, *ret_reason says why (static string). */
gboolean deim_gpu_policy_usable (const DeimGpuProperties *properties, const gchar **ret_reason);

/* Order of preference among devices: larger is better (discrete, integrated, virtual, other, CPU). */
gint deim_gpu_policy_rank (const DeimGpuProperties *properties);

/* Whether @selector means the device at @index: an index (up to three digits), a UUID (32 hex digits, dashes allowed),
 * or a part of its name in any case. */
gboolean deim_gpu_policy_matches (const DeimGpuProperties *properties, guint index, const gchar *selector);
