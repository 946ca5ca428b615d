/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * command.c - recording.
 *
 *     NEW --begin--> RECORDING --end--> READY --submit--> READY (pending until its value is reached)
 *                        ^                |
 *                        +-----begin------+   drops sets, views and commands of the last recording
 *
 * Invariants:
 * (1) Sets and views live as long as the recording that uses them.
 * (2) A READY one that is pending is neither recorded nor submitted again:
 *     begin waits for it, deim_gpu_submit() refuses it.
 * (3) Each recording starts with a barrier against everything before it on the
 *     queue, so that submits follow each other as if the queue were serial;
 *     those that were begun apart do not.
 */
#include "gpu-private.h"

#include "engine/error.h"

typedef enum { STATE_NEW, STATE_RECORDING, STATE_READY } State;

struct _DeimCommands {
  DeimGpu *gpu;
  VkCommandPool pool;
  VkCommandBuffer buffer;
  VkDescriptorPool descriptors;
  VkQueryPool queries;
  guint max_dispatches, n_dispatches;
  guint n_timestamps;
  GArray *views;           /* VkBufferView */
  DeimGpuBuffer addresses; /* of the slots, by dispatch; where the policy has them */
  State state;
  guint64 value; /* of the newest submit */
};

/* Bytes from one dispatch's addresses to the next one's. */
static gsize
address_stride (DeimGpu *gpu)
{
  gsize alignment = gpu->limits.minUniformBufferOffsetAlignment;
  return MAX (DEIM_GPU_MAX_SLOTS * sizeof (VkDeviceAddress), alignment);
}

/* ------------------------------------------------------- making, freeing */

static gboolean
create_pools (DeimCommands *commands, guint max_dispatches, guint timestamps, GError **error)
{
  DeimGpu *gpu = commands->gpu;

  VkCommandPoolCreateInfo pool = {
    .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
    .queueFamilyIndex = gpu->queue_family,
  };
  VK (gpu->vk.CreateCommandPool (gpu->device, &pool, NULL, &commands->pool));
  VkCommandBufferAllocateInfo allocate = {
    .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
    .commandPool = commands->pool,
    .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
    .commandBufferCount = 1,
  };
  VK (gpu->vk.AllocateCommandBuffers (gpu->device, &allocate, &commands->buffer));

  if (max_dispatches) {
    /* Any mix of kinds fits. */
    VkDescriptorPoolSize sizes[] = {
      { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, max_dispatches * DEIM_GPU_MAX_SLOTS },
      { VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, max_dispatches * DEIM_GPU_MAX_SLOTS },
      { VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, max_dispatches },
    };
    VkDescriptorPoolCreateInfo descriptors = {
      .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
      .maxSets = max_dispatches,
      .poolSizeCount = G_N_ELEMENTS (sizes),
      .pPoolSizes = sizes,
    };
    VK (gpu->vk.CreateDescriptorPool (gpu->device, &descriptors, NULL, &commands->descriptors));
    if (gpu->policy.on[DEIM_DECISION_ADDRESS] && !deim_gpu_buffer_init (&commands->addresses, gpu, DEIM_MEMORY_UPLOAD,
                                                                        max_dispatches * address_stride (gpu), error))
      return FALSE;
  }
  if (timestamps && gpu->timestamp_bits) {
    VkQueryPoolCreateInfo queries = {
      .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
      .queryType = VK_QUERY_TYPE_TIMESTAMP,
      .queryCount = timestamps,
    };
    VK (gpu->vk.CreateQueryPool (gpu->device, &queries, NULL, &commands->queries));
    commands->n_timestamps = timestamps;
  }
  return TRUE;

fail:
  return FALSE;
}

DeimCommands *
deim_commands_new (DeimGpu *gpu, guint max_dispatches, guint timestamps, GError **error)
{
  DeimCommands *commands = g_new0 (DeimCommands, 1);
  commands->gpu = deim_gpu_ref (gpu);
  commands->max_dispatches = max_dispatches;
  commands->views = g_array_new (FALSE, TRUE, sizeof (VkBufferView));
  if (!create_pools (commands, max_dispatches, timestamps, error)) {
    deim_commands_free (commands);
    return NULL;
  }
  return commands;
}

static void
wait_until_idle (DeimCommands *commands)
{
  if (commands->value)
    deim_gpu_wait_quietly (commands->gpu, commands->value);
}

static void
drop_views (DeimCommands *commands)
{
  DeimGpu *gpu = commands->gpu;
  for (guint i = 0; i < commands->views->len; i++)
    gpu->vk.DestroyBufferView (gpu->device, g_array_index (commands->views, VkBufferView, i), NULL);
  g_array_set_size (commands->views, 0);
}

void
deim_commands_free (DeimCommands *commands)
{
  if (!commands)
    return;
  DeimGpu *gpu = commands->gpu;
  wait_until_idle (commands);
  drop_views (commands);
  if (commands->queries)
    gpu->vk.DestroyQueryPool (gpu->device, commands->queries, NULL);
  if (commands->descriptors)
    gpu->vk.DestroyDescriptorPool (gpu->device, commands->descriptors, NULL);
  if (commands->pool)
    gpu->vk.DestroyCommandPool (gpu->device, commands->pool, NULL); /* with its buffer */
  deim_gpu_buffer_finish (&commands->addresses, gpu);
  g_array_unref (commands->views);
  deim_gpu_unref (gpu);
  g_free (commands);
}

/* -------------------------------------------------------------- recording */

gboolean
deim_commands_begin_apart (DeimCommands *commands, GError **error)
{
  DeimGpu *gpu = commands->gpu;

  wait_until_idle (commands);
  commands->state = STATE_NEW;
  commands->value = 0;
  commands->n_dispatches = 0;
  drop_views (commands);
  VK (gpu->vk.ResetCommandPool (gpu->device, commands->pool, 0));
  if (commands->descriptors)
    VK (gpu->vk.ResetDescriptorPool (gpu->device, commands->descriptors, 0));
  VkCommandBufferBeginInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
  VK (gpu->vk.BeginCommandBuffer (commands->buffer, &info));
  commands->state = STATE_RECORDING;
  if (commands->queries)
    gpu->vk.CmdResetQueryPool (commands->buffer, commands->queries, 0, commands->n_timestamps);
  return TRUE;

fail:
  return FALSE;
}

gboolean
deim_commands_begin (DeimCommands *commands, GError **error)
{
  if (!deim_commands_begin_apart (commands, error))
    return FALSE;
  deim_commands_barrier (commands, FALSE);
  return TRUE;
}

/* Bytes of a texel; 0 for formats that no kernel of ours reads. All of these are mandatory for storage texel buffers.
 */
static gsize
texel_bytes (VkFormat format)
{
  switch (format) {
  case VK_FORMAT_R32G32B32A32_SFLOAT:
  case VK_FORMAT_R32G32B32A32_UINT:
    return 16;
  case VK_FORMAT_R16G16B16A16_SFLOAT:
    return 8;
  case VK_FORMAT_R32_SFLOAT:
  case VK_FORMAT_R32_UINT:
  case VK_FORMAT_R8G8B8A8_UINT:
    return 4;
  default:
    return 0;
  }
}

static gboolean
check_slot (DeimGpu *gpu, const DeimPipelineKey *key, guint binding, const DeimSlot *slot, GError **error)
{
  const DeimGpuProperties *p = &gpu->properties;
  if (!slot->buffer || slot->range == 0 || slot->offset % p->binding_alignment != 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "shader \"%s\", binding %u: %" G_GSIZE_FORMAT " bytes at offset %" G_GSIZE_FORMAT
                 " of %s are not a binding (offsets are multiples of %u): this is a mistake of the caller",
                 key->shader, binding, slot->range, slot->offset, slot->buffer ? "a buffer" : "no buffer",
                 p->binding_alignment);
    return FALSE;
  }
  if (key->slots[binding] == DEIM_SLOT_STORAGE) {
    if (slot->range <= p->max_storage_range)
      return TRUE;
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "shader \"%s\", binding %u: %" G_GSIZE_FORMAT
                 " bytes are more than this device binds (%" G_GUINT64_FORMAT "): use a smaller input or batch",
                 key->shader, binding, slot->range, p->max_storage_range);
    return FALSE;
  }
  gsize bytes = texel_bytes (slot->texel_format);
  if (bytes == 0 || slot->range % bytes != 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "shader \"%s\", binding %u: %" G_GSIZE_FORMAT " bytes are no whole texels of format %d: this is a "
                 "mistake of the caller",
                 key->shader, binding, slot->range, slot->texel_format);
    return FALSE;
  }
  if (slot->range / bytes <= p->max_texel_elements)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
               "shader \"%s\", binding %u: %" G_GSIZE_FORMAT
               " texels are more than this device offers (%" G_GUINT64_FORMAT
               "): set DEIM_DISABLE=texel, or use a smaller input or batch",
               key->shader, binding, slot->range / bytes, p->max_texel_elements);
  return FALSE;
}

/* Where the slots are that a kernel may write, for its "Addresses" (shaders/io.glsl). */
static void
note_addresses (DeimGpu *gpu, const DeimPipelineKey *key, const DeimSlot *slots, guint8 *target)
{
  for (guint i = 0; i < key->n_slots; i++) {
    if (key->slots[i] != DEIM_SLOT_STORAGE)
      continue;
    VkBufferDeviceAddressInfo info = {
      .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
      .buffer = slots[i].buffer,
    };
    VkDeviceAddress address = gpu->vk.GetBufferDeviceAddress (gpu->device, &info) + slots[i].offset;
    memcpy (target + i * sizeof address, &address, sizeof address);
  }
}

/* A descriptor set over @slots, with buffer views that the recording owns. */
static VkDescriptorSet
make_set (DeimCommands *commands, const DeimPipeline *pipeline, const DeimPipelineKey *key, const DeimSlot *slots,
          GError **error)
{
  DeimGpu *gpu = commands->gpu;
  VkDescriptorBufferInfo buffers[DEIM_GPU_MAX_SLOTS];
  VkBufferView views[DEIM_GPU_MAX_SLOTS];
  VkWriteDescriptorSet writes[DEIM_GPU_MAX_SLOTS + 1];
  VkDescriptorSet set = VK_NULL_HANDLE;

  VkDescriptorSetAllocateInfo allocate = {
    .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
    .descriptorPool = commands->descriptors,
    .descriptorSetCount = 1,
    .pSetLayouts = &pipeline->set_layout,
  };
  VK (gpu->vk.AllocateDescriptorSets (gpu->device, &allocate, &set));
  for (guint i = 0; i < key->n_slots; i++) {
    writes[i] = (VkWriteDescriptorSet){
      .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
      .dstSet = set,
      .dstBinding = i,
      .descriptorCount = 1,
    };
    if (key->slots[i] == DEIM_SLOT_STORAGE) {
      buffers[i] = (VkDescriptorBufferInfo){ slots[i].buffer, slots[i].offset, slots[i].range };
      writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
      writes[i].pBufferInfo = &buffers[i];
      continue;
    }
    VkBufferViewCreateInfo view = {
      .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
      .buffer = slots[i].buffer,
      .format = slots[i].texel_format,
      .offset = slots[i].offset,
      .range = slots[i].range,
    };
    VK (gpu->vk.CreateBufferView (gpu->device, &view, NULL, &views[i]));
    g_array_append_val (commands->views, views[i]);
    writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER;
    writes[i].pTexelBufferView = &views[i];
  }
  VkDescriptorBufferInfo addresses = { commands->addresses.buffer, commands->n_dispatches * address_stride (gpu),
                                       DEIM_GPU_MAX_SLOTS * sizeof (VkDeviceAddress) };
  writes[key->n_slots] = (VkWriteDescriptorSet){
    .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
    .dstSet = set,
    .dstBinding = DEIM_GPU_MAX_SLOTS,
    .descriptorCount = 1,
    .descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER,
    .pBufferInfo = &addresses,
  };
  if (key->addresses)
    note_addresses (gpu, key, slots, commands->addresses.map + addresses.offset);
  gpu->vk.UpdateDescriptorSets (gpu->device, key->n_slots + (key->addresses ? 1 : 0), writes, 0, NULL);
  return set;

fail:
  return VK_NULL_HANDLE;
}

gboolean
deim_commands_dispatch (DeimCommands *commands, const DeimPipeline *pipeline, const DeimPipelineKey *key,
                        const DeimSlot *slots, gconstpointer push, const guint32 groups[3], GError **error)
{
  DeimGpu *gpu = commands->gpu;

  if (commands->state != STATE_RECORDING || commands->n_dispatches == commands->max_dispatches) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 commands->state != STATE_RECORDING
                     ? "shader \"%s\" is dispatched outside of begin and end: this is a mistake of the caller"
                     : "shader \"%s\" is one dispatch more than deim_commands_new() was told: this is a mistake of the "
                       "caller",
                 key->shader);
    return FALSE;
  }
  for (guint i = 0; i < key->n_slots; i++)
    if (!check_slot (gpu, key, i, &slots[i], error))
      return FALSE;
  for (guint i = 0; i < 3; i++)
    if (groups[i] > gpu->limits.maxComputeWorkGroupCount[i]) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                   "shader \"%s\": %u workgroups in dimension %u are more than this device takes (%u): use a smaller "
                   "input or batch",
                   key->shader, groups[i], i, gpu->limits.maxComputeWorkGroupCount[i]);
      return FALSE;
    }

  VkDescriptorSet set = make_set (commands, pipeline, key, slots, error);
  if (!set)
    return FALSE;
  commands->n_dispatches++;
  gpu->vk.CmdBindPipeline (commands->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->pipeline);
  gpu->vk.CmdBindDescriptorSets (commands->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1, &set, 0,
                                 NULL);
  if (key->push_bytes)
    gpu->vk.CmdPushConstants (commands->buffer, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, key->push_bytes,
                              push);
  gpu->vk.CmdDispatch (commands->buffer, groups[0], groups[1], groups[2]);
  return TRUE;
}

void
deim_commands_copy (DeimCommands *commands, VkBuffer source, gsize source_offset, VkBuffer target, gsize target_offset,
                    gsize size)
{
  g_return_if_fail (commands->state == STATE_RECORDING);
  if (size == 0)
    return;
  VkBufferCopy region = { source_offset, target_offset, size };
  commands->gpu->vk.CmdCopyBuffer (commands->buffer, source, target, 1, &region);
}

void
deim_commands_fill (DeimCommands *commands, VkBuffer target, gsize offset, gsize size, guint32 word)
{
  g_return_if_fail (commands->state == STATE_RECORDING);
  g_return_if_fail (offset % 4 == 0 && size % 4 == 0);
  if (size == 0)
    return;
  commands->gpu->vk.CmdFillBuffer (commands->buffer, target, offset, size, word);
}

static void
put_barrier (DeimCommands *commands, VkPipelineStageFlags before, VkAccessFlags written, VkPipelineStageFlags after,
             VkAccessFlags used)
{
  VkMemoryBarrier barrier = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
    .srcAccessMask = written,
    .dstAccessMask = used,
  };
  g_return_if_fail (commands->state == STATE_RECORDING);
  commands->gpu->vk.CmdPipelineBarrier (commands->buffer, before, after, 0, 1, &barrier, 0, NULL, 0, NULL);
}

void
deim_commands_barrier (DeimCommands *commands, gboolean host)
{
  const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
  const VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  const VkAccessFlags reads = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT;
  put_barrier (commands, stages, writes, stages | (host ? VK_PIPELINE_STAGE_HOST_BIT : 0),
               reads | writes | (host ? VK_ACCESS_HOST_READ_BIT : 0));
}

void
deim_commands_barrier_shaders (DeimCommands *commands)
{
  const VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT;
  put_barrier (commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, writes, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
               writes | VK_ACCESS_SHADER_READ_BIT);
}

/* @taken: from outside to this device, else the other way round. Nothing is written here that others should see. */
static void
transfer_ownership (DeimCommands *commands, VkBuffer imported, gboolean taken)
{
  DeimGpu *gpu = commands->gpu;
  VkBufferMemoryBarrier barrier = {
    .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER,
    .dstAccessMask = taken ? VK_ACCESS_SHADER_READ_BIT : 0,
    .srcQueueFamilyIndex = taken ? gpu->outside : gpu->queue_family,
    .dstQueueFamilyIndex = taken ? gpu->queue_family : gpu->outside,
    .buffer = imported,
    .size = VK_WHOLE_SIZE,
  };
  VkPipelineStageFlags before = taken ? VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT : VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
  VkPipelineStageFlags after = taken ? VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT : VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT;
  gpu->vk.CmdPipelineBarrier (commands->buffer, before, after, 0, 0, NULL, 1, &barrier, 0, NULL);
}

void
deim_commands_take (DeimCommands *commands, VkBuffer imported)
{
  g_return_if_fail (commands->state == STATE_RECORDING);
  transfer_ownership (commands, imported, TRUE);
}

void
deim_commands_give_back (DeimCommands *commands, VkBuffer imported)
{
  g_return_if_fail (commands->state == STATE_RECORDING);
  transfer_ownership (commands, imported, FALSE);
}

void
deim_commands_timestamp (DeimCommands *commands, guint index)
{
  g_return_if_fail (commands->state == STATE_RECORDING);
  if (index < commands->n_timestamps)
    commands->gpu->vk.CmdWriteTimestamp (commands->buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, commands->queries,
                                         index);
}

gboolean
deim_commands_end (DeimCommands *commands, GError **error)
{
  DeimGpu *gpu = commands->gpu;

  if (commands->state != STATE_RECORDING) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "a recording is ended that was not begun: this is a mistake of the caller");
    return FALSE;
  }
  commands->state = STATE_NEW; /* a failed end leaves nothing to submit */
  VK (gpu->vk.EndCommandBuffer (commands->buffer));
  commands->state = STATE_READY;
  return TRUE;

fail:
  return FALSE;
}

/* ---------------------------------------------------------------- running */

gboolean
deim_commands_get_timestamps (DeimCommands *commands, gdouble *ret_ms, guint n)
{
  DeimGpu *gpu = commands->gpu;
  if (n == 0 || n > commands->n_timestamps || commands->value == 0 || deim_gpu_is_lost (gpu) ||
      !deim_gpu_is_reached (gpu, commands->value))
    return FALSE;

  g_autofree guint64 *ticks = g_new0 (guint64, n);
  VkResult result = gpu->vk.GetQueryPoolResults (gpu->device, commands->queries, 0, n, n * sizeof *ticks, ticks,
                                                 sizeof *ticks, VK_QUERY_RESULT_64_BIT);
  if (result < 0)
    deim_vk_fail (gpu, result, "vkGetQueryPoolResults", G_STRLOC, NULL);
  if (result != VK_SUCCESS)
    return FALSE; /* VK_NOT_READY: a mark was not recorded */
  guint64 mask = gpu->timestamp_bits >= 64 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << gpu->timestamp_bits) - 1;
  for (guint i = 0; i < n; i++) /* the difference is right across one wrap of the counter */
    ret_ms[i] = (gdouble) ((ticks[i] - ticks[0]) & mask) * gpu->properties.timestamp_period_ns * 1e-6;
  return TRUE;
}

gboolean
deim_commands_is_ready (DeimCommands *commands)
{
  return commands->state == STATE_READY;
}

VkCommandBuffer
deim_commands_get_buffer (DeimCommands *commands)
{
  return commands->buffer;
}

guint64
deim_commands_get_value (DeimCommands *commands)
{
  return commands->value;
}

void
deim_commands_set_value (DeimCommands *commands, guint64 value)
{
  commands->value = value;
}
