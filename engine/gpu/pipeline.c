/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pipeline.c - compute pipelines by key.
 *
 * The table holds an entry from the moment that a thread starts to build it.
 * Building happens outside the lock, so that different pipelines are compiled
 * at once; who asks for one that is being built waits for it.
 */
#include "gpu-private.h"

#include "engine/error.h"
#include "shaders.h"

typedef enum { ENTRY_BUILDING, ENTRY_READY, ENTRY_FAILED } EntryState;

/* Lives in the table with a reference of the table's own, and one of each thread that builds or waits. */
typedef struct {
  DeimPipelineKey key; /* shader: the name in deim_shaders[] */
  DeimPipeline pipeline;
  EntryState state;
  guint refs;
} Entry;

/* ------------------------------------------------------------------ table */

static guint
hash_key (gconstpointer data)
{
  const DeimPipelineKey *key = data;
  guint hash = g_str_hash (key->shader);
  for (guint i = 0; i < key->n_slots; i++)
    hash = hash * 31 + (guint) key->slots[i];
  for (guint i = 0; i < key->n_spec; i++)
    hash = (hash ^ key->spec[i]) * 0x01000193u;
  return (hash * 31 + key->push_bytes) * 31 + key->required_subgroup_size;
}

static gboolean
equal_keys (gconstpointer data_a, gconstpointer data_b)
{
  const DeimPipelineKey *a = data_a;
  const DeimPipelineKey *b = data_b;
  return a->n_slots == b->n_slots && a->addresses == b->addresses && a->n_spec == b->n_spec &&
         a->push_bytes == b->push_bytes && a->required_subgroup_size == b->required_subgroup_size &&
         a->full_subgroups == b->full_subgroups && strcmp (a->shader, b->shader) == 0 &&
         memcmp (a->slots, b->slots, a->n_slots * sizeof a->slots[0]) == 0 &&
         memcmp (a->spec, b->spec, a->n_spec * sizeof a->spec[0]) == 0;
}

static void
finish_pipeline (DeimGpu *gpu, DeimPipeline *pipeline)
{
  if (pipeline->pipeline)
    gpu->vk.DestroyPipeline (gpu->device, pipeline->pipeline, NULL);
  if (pipeline->layout)
    gpu->vk.DestroyPipelineLayout (gpu->device, pipeline->layout, NULL);
  if (pipeline->set_layout)
    gpu->vk.DestroyDescriptorSetLayout (gpu->device, pipeline->set_layout, NULL);
  memset (pipeline, 0, sizeof *pipeline);
}

/* Under the lock. */
static void
drop_entry (Entry *entry)
{
  if (--entry->refs == 0)
    g_free (entry);
}

/* --------------------------------------------------------------- building */

static const DeimShader *
find_shader (const gchar *name)
{
  static gsize n_shaders; /* + 1 */
  if (g_once_init_enter (&n_shaders)) {
    gsize n = 0;
    while (deim_shaders[n].name)
      n++;
    g_once_init_leave (&n_shaders, n + 1);
  }
  gsize low = 0;
  gsize high = n_shaders - 1;
  while (low < high) {
    gsize middle = low + (high - low) / 2;
    gint order = strcmp (name, deim_shaders[middle].name);
    if (order == 0)
      return &deim_shaders[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

static gboolean
check_key (DeimGpu *gpu, const DeimPipelineKey *key, const DeimShader **ret_shader, GError **error)
{
  const DeimGpuProperties *p = &gpu->properties;
  const DeimShader *shader = key->shader ? find_shader (key->shader) : NULL;
  if (!shader) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "there is no shader \"%s\" in this build: add it to shaders/meson.build and build again",
                 key->shader ? key->shader : "(null)");
    return FALSE;
  }
  if (key->n_slots > DEIM_GPU_MAX_SLOTS || key->n_spec > DEIM_GPU_MAX_SPEC || key->push_bytes > p->max_push_bytes ||
      key->push_bytes % 4 != 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "shader \"%s\" asks for %u bindings, %u constants and %u bytes of push constants; %d, %d and %u (a "
                 "multiple of 4) are allowed: split it",
                 key->shader, key->n_slots, key->n_spec, key->push_bytes, DEIM_GPU_MAX_SLOTS, DEIM_GPU_MAX_SPEC,
                 p->max_push_bytes);
    return FALSE;
  }
  guint size = key->required_subgroup_size;
  gboolean can_fix = p->subgroup_size_control && size >= p->min_subgroup_size && size <= p->max_subgroup_size &&
                     (size & (size - 1)) == 0;
  gboolean is_fixed = p->min_subgroup_size == p->max_subgroup_size && size == p->subgroup_size;
  if (size && !can_fix && !is_fixed) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "shader \"%s\" needs subgroups of %u, this device has %u to %u%s: choose another kernel", key->shader,
                 size, p->min_subgroup_size, p->max_subgroup_size,
                 p->subgroup_size_control ? "" : " and cannot fix a size");
    return FALSE;
  }
  *ret_shader = shader;
  return TRUE;
}

static gboolean
create_layouts (DeimGpu *gpu, const DeimPipelineKey *key, DeimPipeline *made, GError **error)
{
  VkDescriptorSetLayoutBinding bindings[DEIM_GPU_MAX_SLOTS + 1];
  for (guint i = 0; i < key->n_slots; i++)
    bindings[i] = (VkDescriptorSetLayoutBinding){
      .binding = i,
      .descriptorType = key->slots[i] == DEIM_SLOT_TEXEL ? VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER
                                                         : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
      .descriptorCount = 1,
      .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
    };
  bindings[key->n_slots] = (VkDescriptorSetLayoutBinding){
    .binding = DEIM_GPU_MAX_SLOTS, /* "Addresses" of shaders/io.glsl */
    .descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER,
    .descriptorCount = 1,
    .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
  };
  VkDescriptorSetLayoutCreateInfo set = {
    .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
    .bindingCount = key->n_slots + (key->addresses ? 1 : 0),
    .pBindings = bindings,
  };
  VK (gpu->vk.CreateDescriptorSetLayout (gpu->device, &set, NULL, &made->set_layout));

  VkPushConstantRange push = {
    .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
    .size = key->push_bytes,
  };
  VkPipelineLayoutCreateInfo layout = {
    .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
    .setLayoutCount = 1,
    .pSetLayouts = &made->set_layout,
    .pushConstantRangeCount = key->push_bytes ? 1 : 0,
    .pPushConstantRanges = &push,
  };
  VK (gpu->vk.CreatePipelineLayout (gpu->device, &layout, NULL, &made->layout));
  return TRUE;

fail:
  return FALSE;
}

/* Fills *@ret_pipeline; safe from any thread, without the lock. */
static gboolean
build (DeimGpu *gpu, const DeimPipelineKey *key, const DeimShader *shader, DeimPipeline *ret_pipeline, GError **error)
{
  DeimPipeline made = { 0 };
  VkShaderModule module = VK_NULL_HANDLE;

  if (!create_layouts (gpu, key, &made, error))
    goto fail;
  VkShaderModuleCreateInfo code = {
    .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
    .codeSize = shader->size,
    .pCode = shader->code,
  };
  VK (gpu->vk.CreateShaderModule (gpu->device, &code, NULL, &module));

  VkSpecializationMapEntry entries[DEIM_GPU_MAX_SPEC];
  for (guint i = 0; i < key->n_spec; i++)
    entries[i] = (VkSpecializationMapEntry){
      .constantID = i,
      .offset = i * (guint32) sizeof (guint32),
      .size = sizeof (guint32),
    };
  VkSpecializationInfo specialization = {
    .mapEntryCount = key->n_spec,
    .pMapEntries = entries,
    .dataSize = key->n_spec * sizeof (guint32),
    .pData = key->spec,
  };
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT subgroup = {
    .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
    .requiredSubgroupSize = key->required_subgroup_size,
  };
  /* Where every subgroup has that size already, nothing has to be asked for. */
  gboolean fix_size =
      key->required_subgroup_size && gpu->properties.min_subgroup_size != gpu->properties.max_subgroup_size;
  VkComputePipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .stage =
          {
              .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
              .pNext = fix_size ? &subgroup : NULL,
              .flags = key->full_subgroups ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT : 0,
              .stage = VK_SHADER_STAGE_COMPUTE_BIT,
              .module = module,
              .pName = "main",
              .pSpecializationInfo = key->n_spec ? &specialization : NULL,
          },
      .layout = made.layout,
      .basePipelineIndex = -1,
  };
  VK (gpu->vk.CreateComputePipelines (gpu->device, gpu->cache, 1, &info, NULL, &made.pipeline));
  gpu->vk.DestroyShaderModule (gpu->device, module, NULL);
  *ret_pipeline = made;
  return TRUE;

fail:
  if (module)
    gpu->vk.DestroyShaderModule (gpu->device, module, NULL);
  finish_pipeline (gpu, &made);
  return FALSE;
}

const DeimPipeline *
deim_gpu_get_pipeline (DeimGpu *gpu, const DeimPipelineKey *key, GError **error)
{
  const DeimShader *shader;
  if (!check_key (gpu, key, &shader, error))
    return NULL;

  g_mutex_lock (&gpu->pipeline_lock);
  Entry *entry;
  while ((entry = g_hash_table_lookup (gpu->pipelines, key))) {
    if (entry->state == ENTRY_READY) {
      g_mutex_unlock (&gpu->pipeline_lock);
      return &entry->pipeline;
    }
    entry->refs++;
    while (entry->state == ENTRY_BUILDING)
      g_cond_wait (&gpu->pipeline_done, &gpu->pipeline_lock);
    drop_entry (entry); /* a failed one has left the table: this thread tries itself and gets an error of its own */
  }
  entry = g_new0 (Entry, 1);
  entry->key = *key;
  entry->key.shader = shader->name;
  entry->refs = 2;
  g_hash_table_insert (gpu->pipelines, &entry->key, entry);
  g_mutex_unlock (&gpu->pipeline_lock);

  gboolean ok = build (gpu, &entry->key, shader, &entry->pipeline, error);

  g_mutex_lock (&gpu->pipeline_lock);
  entry->state = ok ? ENTRY_READY : ENTRY_FAILED;
  if (ok) {
    gpu->cache_added++;
  } else {
    g_hash_table_remove (gpu->pipelines, &entry->key);
    drop_entry (entry);
  }
  drop_entry (entry);
  g_cond_broadcast (&gpu->pipeline_done);
  g_mutex_unlock (&gpu->pipeline_lock);
  return ok ? &entry->pipeline : NULL;
}

/* ------------------------------------------------------------------ cache */

void
deim_gpu_save_pipeline_cache (DeimGpu *gpu)
{
  DeimGpu *self = gpu;
  GError **error = NULL; /* for VK(): failures here cost time at the next start, nothing else */
  g_autofree gchar *payload = NULL;
  g_autoptr (GError) problem = NULL;

  g_mutex_lock (&self->pipeline_lock);
  guint added = gpu->cache_added;
  gpu->cache_added = 0;
  g_mutex_unlock (&self->pipeline_lock);
  if (added == 0 || !gpu->cache || !gpu->cache_path || deim_gpu_is_lost (gpu))
    return;

  gsize size = 0;
  VkResult result;
  do { /* another thread may add to it between the two calls */
    VK (gpu->vk.GetPipelineCacheData (gpu->device, gpu->cache, &size, NULL));
    g_free (payload);
    payload = g_malloc (MAX (size, 1));
    result = gpu->vk.GetPipelineCacheData (gpu->device, gpu->cache, &size, payload);
  } while (result == VK_INCOMPLETE);
  VK (result);

  guint64 checksum = deim_pipeline_cache_checksum (payload, size);
  g_mutex_lock (&self->pipeline_lock);
  gboolean is_new = checksum != gpu->cache_checksum;
  gpu->cache_checksum = checksum;
  g_mutex_unlock (&self->pipeline_lock);
  if (!is_new)
    return; /* all pipelines came out of it */
  if (deim_pipeline_cache_write (gpu->cache_path, &gpu->properties, payload, size, &problem))
    deim_debug ("wrote %" G_GSIZE_FORMAT " bytes of pipelines to %s", size, gpu->cache_path);
  else
    deim_warning ("the pipeline cache is not kept, and the next start takes as long as the first: %s",
                  problem->message);

fail:
  return;
}

gchar *
deim_gpu_cache_file (DeimGpu *gpu, const gchar *suffix)
{
  return gpu->cache_path ? g_strconcat (gpu->cache_path, suffix, NULL) : NULL;
}

/* Mesa's lavapipe has the same version number always; its name tells one from another. */
gchar *
deim_gpu_code_fingerprint (DeimGpu *gpu)
{
  const DeimGpuProperties *p = &gpu->properties;
  guint64 build = deim_pipeline_cache_checksum (p->cache_uuid, sizeof p->cache_uuid);
  return g_strdup_printf ("%s %08x %u %016" G_GINT64_MODIFIER "x %s", deim_version (), deim_shaders_crc,
                          p->driver_version, build, p->driver);
}

gchar *
deim_gpu_fingerprint (DeimGpu *gpu)
{
  guint bits = 0;
  for (guint d = 0; d < DEIM_N_DECISIONS; d++)
    bits |= gpu->policy.on[d] ? 1u << d : 0;
  g_autofree gchar *code = deim_gpu_code_fingerprint (gpu);
  return g_strdup_printf ("%s %x %u", code, bits, gpu->policy.subgroup_size);
}

gboolean
deim_gpu_check_cache (DeimGpu *gpu, GError **error)
{
  return deim_pipeline_cache_check (gpu->cache_path, error);
}

gboolean
deim_gpu_init_pipelines (DeimGpu *gpu, GError **error)
{
  gpu->pipelines = g_hash_table_new (hash_key, equal_keys);
  g_autoptr (GBytes) payload =
      gpu->cache_path ? deim_pipeline_cache_read (gpu->cache_path, &gpu->properties, &gpu->cache_checksum) : NULL;
  VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO };
  if (payload) {
    info.pInitialData = g_bytes_get_data (payload, &info.initialDataSize);
    if (gpu->vk.CreatePipelineCache (gpu->device, &info, NULL, &gpu->cache) >= 0)
      return TRUE;
    deim_info ("the driver refuses the pipeline cache %s: it will be replaced", gpu->cache_path);
    info.pInitialData = NULL;
    info.initialDataSize = 0;
    gpu->cache_checksum = 0;
  }
  gpu->cache = VK_NULL_HANDLE;
  VK (gpu->vk.CreatePipelineCache (gpu->device, &info, NULL, &gpu->cache));
  return TRUE;

fail:
  gpu->cache = VK_NULL_HANDLE;
  return FALSE;
}

void
deim_gpu_finish_pipelines (DeimGpu *gpu)
{
  if (!gpu->pipelines)
    return;
  deim_gpu_save_pipeline_cache (gpu);
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, gpu->pipelines);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    finish_pipeline (gpu, &((Entry *) value)->pipeline);
    drop_entry (value);
  }
  g_clear_pointer (&gpu->pipelines, g_hash_table_unref);
  if (gpu->cache)
    gpu->vk.DestroyPipelineCache (gpu->device, gpu->cache, NULL);
}
