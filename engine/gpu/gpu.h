/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gpu.h - Vulkan as this project needs it: a device with its policy, buffers,
 * pipelines, prerecorded command buffers on one queue with one timeline
 * semaphore, and timestamps. It knows nothing of tensors or networks.
 *
 * Conventions: `_new`/`_open` create on the heap, `_free`/`_unref` accept NULL
 * and half-built objects; `_init`/`_finish` work on storage of the caller.
 * Every Vulkan call goes through VK() in vk.h, which logs the call's text and
 * turns a VkResult into a GError (DEIM_ERROR_DEVICE_LOST, DEIM_ERROR_MEMORY,
 * else DEIM_ERROR_DEVICE). Mistakes of the caller are DEIM_ERROR_SETTINGS.
 *
 * Environment: DEIM_DEVICE (selector), DEIM_DISABLE (policy.h), DEIM_VALIDATION
 * and DEIM_VULKAN_LOADER (vk.c), DEIM_TEST_LOSE_DEVICE (submit.c),
 * DEIM_TEST_ADDRESS (device.c).
 */
#pragma once

#include "vk.h"
#include "policy.h"

/* ------------------------------------------------------------------ device */

/* Thread-safety: safe (the queue and the pipeline table are locked inside). */
typedef struct _DeimGpu DeimGpu;

/* See deim_device_open() for @selector. @cache_dir: NULL is $XDG_CACHE_HOME/gst-deim. */
DeimGpu *deim_gpu_open (const gchar *selector, const gchar *cache_dir, GError **error);
DeimGpu *deim_gpu_ref (DeimGpu *gpu);
void deim_gpu_unref (DeimGpu *gpu);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimGpu, deim_gpu_unref)

/* Names in index order. DEIM_ERROR_NO_DEVICE without a Vulkan loader or without any driver. Free with g_strfreev().
 */
gchar **deim_gpu_list (GError **error);
const gchar *deim_gpu_get_name (DeimGpu *gpu);
gchar *deim_gpu_describe (DeimGpu *gpu); /* lines for people, see deim_device_describe(). Free with g_free(). */
const DeimGpuPolicy *deim_gpu_get_policy (DeimGpu *gpu);
const DeimGpuProperties *deim_gpu_get_properties (DeimGpu *gpu);
/* Once lost, a device stays lost: submits and waits fail. Drop what was made on it, and open it anew. */
gboolean deim_gpu_is_lost (DeimGpu *gpu);
/* Overrules a decision of the policy, for a feature that was found to compute wrongly. Of what is made afterwards;
 * not while another thread makes pipelines of this device. @reason: interned. */
void deim_gpu_overrule (DeimGpu *gpu, DeimDecision decision, gboolean on, const gchar *reason);
/* A file for what is known of this device, driver and build: beside the pipeline cache, with @suffix. NULL where there
 * is nowhere to write. Free with g_free(). */
gchar *deim_gpu_cache_file (DeimGpu *gpu, const gchar *suffix);
/* What such files hold for, in one line: this build's kernels, the policy's decisions and the driver's version. Free
 * with g_free(). */
gchar *deim_gpu_fingerprint (DeimGpu *gpu);
/* Whether such files can be written, found out by writing one; DEIM_ERROR_WRITE names the folder and the cause. */
gboolean deim_gpu_check_cache (DeimGpu *gpu, GError **error);

/* ------------------------------------------------------------------ memory */

typedef enum {
  DEIM_MEMORY_DEVICE,   /* fastest for shaders; `map` is NULL unless it happens to be host-visible */
  DEIM_MEMORY_UPLOAD,   /* written by the host, read by shaders or copies; mapped, coherent */
  DEIM_MEMORY_READBACK, /* written by shaders or copies, read by the host; mapped, coherent, cached where possible */
} DeimMemoryKind;

/* A buffer with memory of its own. Usable as storage buffer, storage texel buffer, and transfer source and target. */
typedef struct {
  VkBuffer buffer;
  VkDeviceMemory memory;
  gsize size;
  guint8 *map; /* NULL where not host-visible */
} DeimGpuBuffer;

/* Thread-safety: safe for different buffers. DEIM_ERROR_MEMORY when there is not enough, with the size. The content is
 * undefined. */
gboolean deim_gpu_buffer_init (DeimGpuBuffer *buffer, DeimGpu *gpu, DeimMemoryKind kind, gsize size, GError **error);
/* The caller has waited for what uses it. Accepts a buffer of zeros. */
void deim_gpu_buffer_finish (DeimGpuBuffer *buffer, DeimGpu *gpu);
/* Copies host data into a buffer of any kind, through a staging buffer where it is not mapped, after everything
 * submitted before; waits. */
gboolean deim_gpu_buffer_upload (DeimGpuBuffer *buffer, DeimGpu *gpu, gsize offset, gconstpointer data, gsize size,
                                 GError **error);
/* The other way round, for tests and debugging: what is there when everything submitted before has finished; waits. */
gboolean deim_gpu_buffer_download (DeimGpuBuffer *buffer, DeimGpu *gpu, gsize offset, gpointer data, gsize size,
                                   GError **error);

/* Tells one DMABuf from another for as long as somebody holds it. */
typedef struct {
  guint64 device, inode;
} DeimDmabufId;

/* DEIM_ERROR_SETTINGS where @fd is no open file, DEIM_ERROR_UNSUPPORTED where the kernel cannot tell (before 5.3). */
gboolean deim_dmabuf_identify (gint fd, DeimDmabufId *ret_id, GError **error);

/* The memory of a DMABuf as a buffer, which keeps it alive; @fd stays the caller's. Its commands take it and give it
 * back (deim_commands_take()). `map` is NULL. DEIM_ERROR_UNSUPPORTED where the policy or the driver says no, with the
 * reason. Thread-safety: safe. */
gboolean deim_gpu_buffer_import (DeimGpuBuffer *buffer, DeimGpu *gpu, gint fd, GError **error);

/* Waits until whoever writes DMABuf @fd has finished, and makes that visible to a device that is the CPU. Vulkan knows
 * nothing of this. DEIM_ERROR_DEVICE when it takes longer than two seconds. Thread-safety: safe. */
gboolean deim_gpu_wait_for_dmabuf (DeimGpu *gpu, gint fd, GError **error);

/* ---------------------------------------------------------------- pipelines */

/* Kinds of a shader's bindings, in order of binding number: storage buffers and storage texel buffers. */
typedef enum { DEIM_SLOT_STORAGE, DEIM_SLOT_TEXEL } DeimSlotKind;

#define DEIM_GPU_MAX_SLOTS 8 /* shaders/io.glsl knows it: its Addresses are bound behind them */
#define DEIM_GPU_MAX_SPEC  16

/* What makes a pipeline; equal keys give the same pipeline. */
typedef struct {
  const gchar *shader; /* name in the embedded table, "conv.texel" */
  DeimSlotKind slots[DEIM_GPU_MAX_SLOTS];
  guint n_slots;
  guint32 spec[DEIM_GPU_MAX_SPEC]; /* constant_id 0 upwards */
  guint n_spec;
  guint push_bytes;
  guint required_subgroup_size; /* 0: whatever the driver likes */
  gboolean addresses;           /* it writes through addresses: those of its slots are bound behind them */
  gboolean full_subgroups; /* no invocation stands in a partial one; the properties say whether that can be asked */
} DeimPipelineKey;

typedef struct {
  VkPipeline pipeline;
  VkPipelineLayout layout;
  VkDescriptorSetLayout set_layout;
} DeimPipeline;

/* The pipeline of @key, created at the first call (the VkPipelineCache on disk makes that quick); lives as long as
 * the device. @required_subgroup_size that the device cannot give, and shaders that are not in the build, are
 * DEIM_ERROR_UNSUPPORTED. Thread-safety: safe, several threads may create different pipelines at once. */
const DeimPipeline *deim_gpu_get_pipeline (DeimGpu *gpu, const DeimPipelineKey *key, GError **error);
/* A pipeline, and the formats of the texel buffers that it is going to read. */
typedef struct {
  DeimPipelineKey key;
  VkFormat formats[DEIM_GPU_MAX_SLOTS];
} DeimPipelineUse;

/* For drivers that compile inside the first dispatch (DEIM_DECISION_AHEAD; for others nothing): compiles, in as many
 * threads as there are cores, what a file beside the pipeline cache does not say to be compiled. Returns when that is
 * done. What cannot be compiled ahead is compiled, or refused, by its first dispatch. Thread-safety: safe. */
void deim_gpu_compile_ahead (DeimGpu *gpu, const DeimPipelineUse *uses, guint n);
/* Writes the VkPipelineCache to disk (atomically), if pipelines were added since. Also done when the device closes. */
void deim_gpu_save_pipeline_cache (DeimGpu *gpu);

/* ----------------------------------------------------------------- commands */

/* What a binding reads or writes: @range bytes of @buffer from @offset, a multiple of
 * DeimGpuProperties.binding_alignment. @texel_format: of a DEIM_SLOT_TEXEL slot. */
typedef struct {
  VkBuffer buffer;
  gsize offset;
  gsize range;
  VkFormat texel_format; /* VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R16G16B16A16_SFLOAT; see command.c for others */
} DeimSlot;

/*
 * DeimCommands: one command buffer, recorded once and submitted often, with
 * the descriptor sets and buffer views that its dispatches use.
 *
 *     begin -> { dispatch | copy | barrier | timestamp }* -> end -> submit, submit, ...
 *
 * Recording again (begin) drops everything of the last recording; it waits
 * while that is still pending. A recording may be submitted again once its last
 * submit has finished, not before. It starts with a barrier against everything
 * submitted earlier; between its own dispatches barriers are the caller's.
 * Holds a reference of the device. Thread-safety: one call at a time per object.
 */
typedef struct _DeimCommands DeimCommands;

/* @max_dispatches: sizes the descriptor pool. @timestamps: 0 for none, else the number of marks. */
DeimCommands *deim_commands_new (DeimGpu *gpu, guint max_dispatches, guint timestamps, GError **error);
void deim_commands_free (DeimCommands *commands); /* waits until it is no longer pending */
gboolean deim_commands_begin (DeimCommands *commands, GError **error);
/* Without that barrier: for commands that touch nothing that an earlier submit may still write, and write nothing that
 * it may still use. They can run beside what comes after the last barrier of an earlier submit; a second queue, which
 * would let them run beside all of it, is not used. */
gboolean deim_commands_begin_apart (DeimCommands *commands, GError **error);
gboolean deim_commands_dispatch (DeimCommands *commands, const DeimPipeline *pipeline, const DeimPipelineKey *key,
                                 const DeimSlot *slots, gconstpointer push, const guint32 groups[3], GError **error);
void deim_commands_copy (DeimCommands *commands, VkBuffer source, gsize source_offset, VkBuffer target,
                         gsize target_offset, gsize size);
void deim_commands_fill (DeimCommands *commands, VkBuffer target, gsize offset, gsize size, guint32 word);
/* Everything before (shaders, copies) is finished and visible before anything after starts. @host: also to the host. */
void deim_commands_barrier (DeimCommands *commands, gboolean host);
/* The same between shaders alone, without copies before it or after it: what stands between most dispatches. */
void deim_commands_barrier_shaders (DeimCommands *commands);
/* An imported buffer belongs to somebody else: recorded around the dispatches that read it. */
void deim_commands_take (DeimCommands *commands, VkBuffer imported);
void deim_commands_give_back (DeimCommands *commands, VkBuffer imported);
/* Writes timestamp @index when everything before it has finished. Nothing where the device has none. */
void deim_commands_timestamp (DeimCommands *commands, guint index);
gboolean deim_commands_end (DeimCommands *commands, GError **error);
/* Milliseconds of marks 0 to @n - 1 after mark 0, of the last run; FALSE while it runs, where the device has no
 * timestamps, or when one of these marks was not recorded. */
gboolean deim_commands_get_timestamps (DeimCommands *commands, gdouble *ret_ms, guint n);

/*
 * Submits command buffers to run one after the other (@n of them), after
 * everything submitted before. The device's timeline semaphore reaches
 * *ret_value when the last has finished. One vkQueueSubmit. Values grow by the
 * order of submission. DEIM_ERROR_BUSY when one of them is still pending.
 * Thread-safety: safe.
 */
gboolean deim_gpu_submit (DeimGpu *gpu, DeimCommands *const *commands, guint n, guint64 *ret_value, GError **error);
/* Sleeps until the timeline reaches @value (no polling). DEIM_ERROR_DEVICE_LOST if it never will. */
gboolean deim_gpu_wait (DeimGpu *gpu, guint64 value, GError **error);
/* Whether deim_gpu_wait() would return at once: also TRUE on a lost device. */
gboolean deim_gpu_is_reached (DeimGpu *gpu, guint64 value);
