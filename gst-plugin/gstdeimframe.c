/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimframe.c - see gstdeimframe.h.
 */
#include "gstdeimframe.h"

#include <gst/allocators/allocators.h>

gboolean
gst_deim_frame_info (GstVideoInfo *ret_info, const GstCaps *caps)
{
#if GST_CHECK_VERSION(1, 24, 0)
  if (gst_video_is_dma_drm_caps (caps)) {
    GstVideoInfoDmaDrm drm;
    return gst_video_info_dma_drm_from_caps (&drm, caps) && gst_video_info_dma_drm_to_video_info (&drm, ret_info);
  }
#endif
  return gst_video_info_from_caps (ret_info, caps);
}

gboolean
gst_deim_frame_is_dmabuf (const GstCaps *caps)
{
  GstCapsFeatures *features = gst_caps_get_size (caps) > 0 ? gst_caps_get_features (caps, 0) : NULL;
  return features && gst_caps_features_contains (features, GST_CAPS_FEATURE_MEMORY_DMABUF);
}

gboolean
gst_deim_frame_find_dmabuf (const GstVideoInfo *info, GstBuffer *buffer, DeimFrame *frame, DeimDmabuf *ret_at)
{
  if (gst_buffer_n_memory (buffer) == 0 || !gst_is_dmabuf_memory (gst_buffer_peek_memory (buffer, 0)))
    return FALSE;
  const GstVideoMeta *meta = gst_buffer_get_video_meta (buffer);
  guint planes = GST_VIDEO_INFO_N_PLANES (info);
  if (meta && meta->n_planes != planes)
    return FALSE;
  DeimFrame found = *frame;
  DeimDmabuf at = { { 0 }, { 0 } };
  for (guint i = 0; i < planes; i++) {
    gsize begin = meta ? meta->offset[i] : GST_VIDEO_INFO_PLANE_OFFSET (info, i), skip;
    gint stride = meta ? meta->stride[i] : GST_VIDEO_INFO_PLANE_STRIDE (info, i);
    guint index, length;
    if (stride <= 0 || !gst_buffer_find_memory (buffer, begin, 1, &index, &length, &skip))
      return FALSE;
    GstMemory *memory = gst_buffer_peek_memory (buffer, index);
    if (!gst_is_dmabuf_memory (memory))
      return FALSE;
    at.fd[i] = gst_dmabuf_memory_get_fd (memory);
    at.offset[i] = memory->offset + skip;
    found.stride[i] = (guint) stride;
  }
  found.width = meta ? meta->width : (guint) GST_VIDEO_INFO_WIDTH (info);
  found.height = meta ? meta->height : (guint) GST_VIDEO_INFO_HEIGHT (info);
  found.dmabuf = ret_at;
  *ret_at = at;
  *frame = found;
  return TRUE;
}
