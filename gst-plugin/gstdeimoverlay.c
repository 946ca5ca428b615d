/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-deimoverlay
 * @title: deimoverlay
 * @short_description: Draws boxes and labels of detected objects
 * @see_also: deimdetect
 *
 * Draws every #GstVideoRegionOfInterestMeta of a frame, and every object of a #GstAnalyticsRelationMeta where GStreamer
 * has it (1.24), whoever attached them: a box in the colour of its class, the label, and the confidence where it is
 * known.
 *
 * Frames that a deimdetect let pass without inference (inference-interval, or skipped because time ran short) show its
 * boxes of the last inferred frame for the time that `hold` says, dashed, so that boxes do not blink.
 *
 * Where downstream can blend a #GstVideoOverlayComposition (most sinks on a GPU), the drawing is handed over and the
 * picture stays untouched; otherwise it is blended here.
 *
 * ## Example pipeline
 *
 * |[
 * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! deimdetect model=deimv2.safetensors ! deimoverlay
 * line-width=3 ! videoconvert ! autovideosink
 * ]| Shows a file with what is found in it.
 *
 * Since: 0.1
 */
#include "gstdeimoverlay.h"

#include "gstdeimblend.h"
#include "gstdeimread.h"

#include <string.h>

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

#define DEFAULT_DRAW_LABELS TRUE
#define DEFAULT_DRAW_SCORES TRUE
#define DEFAULT_LINE_WIDTH  0
#define DEFAULT_HOLD        500

enum {
  PROP_0,
  PROP_DRAW_LABELS,
  PROP_DRAW_SCORES,
  PROP_LINE_WIDTH,
  PROP_HOLD,
};

#ifndef GST_VIDEO_FORMATS_ANY /* 1.24: these and DMA_DRM */
#define GST_VIDEO_FORMATS_ANY GST_VIDEO_FORMATS_ALL
#endif
/* What overlaycomposition takes: what can be blended here, and anything that downstream can blend. */
#define CAPS                                                                                                           \
  GST_VIDEO_CAPS_MAKE (GST_VIDEO_OVERLAY_COMPOSITION_BLEND_FORMATS)                                                    \
  ";" GST_VIDEO_CAPS_MAKE_WITH_FEATURES ("ANY", GST_VIDEO_FORMATS_ANY)

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

#define gst_deim_overlay_parent_class parent_class
G_DEFINE_FINAL_TYPE (GstDeimOverlay, gst_deim_overlay, GST_TYPE_BIN)
GST_ELEMENT_REGISTER_DEFINE (deimoverlay, "deimoverlay", GST_RANK_NONE, GST_TYPE_DEIM_OVERLAY)

/* ------------------------------------------------------------------- drawing */

/* The part of @rect that lies in @frame. */
static DeimDrawRect
intersect (DeimDrawRect rect, DeimDrawRect frame)
{
  gint x = MAX (rect.x, frame.x), y = MAX (rect.y, frame.y);
  gint x_end = MIN (rect.x + rect.width, frame.x + frame.width);
  gint y_end = MIN (rect.y + rect.height, frame.y + frame.height);
  return (DeimDrawRect){ x, y, MAX (0, x_end - x), MAX (0, y_end - y) };
}

/* Whether the pixels from @x to @x_end of a row are all empty. */
static gboolean
is_empty_row (const guint32 *row, gint x, gint x_end)
{
  guint32 any = 0;
  for (; x < x_end; x++)
    any |= row[x];
  return any == 0;
}

/* The smallest rectangle that holds everything painted in @rect. */
static DeimDrawRect
trim (GstDeimOverlay *self, DeimDrawRect rect)
{
  rect = intersect (rect, (DeimDrawRect){ 0, 0, self->info.width, self->info.height });
  const guint32 *pixels = (const guint32 *) (gpointer) cairo_image_surface_get_data (self->surface);
  gint pitch = cairo_image_surface_get_stride (self->surface) / 4;
  gint x_end = rect.x + rect.width, y_end = rect.y + rect.height;
  gint x_min = x_end, x_max = rect.x, y_min = y_end, y_max = rect.y;
  for (gint y = rect.y; y < y_end; y++) {
    const guint32 *row = pixels + (gsize) y * (gsize) pitch;
    if (is_empty_row (row, rect.x, x_end))
      continue;
    y_min = MIN (y_min, y);
    y_max = y + 1;
    for (gint x = rect.x; x < x_min; x++)
      if (row[x])
        x_min = x;
    for (gint x = x_end; x > x_max; x--)
      if (row[x - 1])
        x_max = x;
  }
  return (DeimDrawRect){ x_min, y_min, MAX (0, x_max - x_min), MAX (0, y_max - y_min) };
}

/* Where pieces of the drawing go: over a frame, or, without one, into a composition. */
typedef struct {
  GstVideoFrame *frame;                    /* (nullable) */
  gint x, y;                               /* where the picture begins in it */
  GstVideoOverlayComposition *composition; /* NULL until there is a piece for it */
} Target;

static void
add_rectangle (Target *to, const guint8 *from, gsize stride, DeimDrawRect rect)
{
  gsize row = (gsize) rect.width * 4;
  guint8 *pixels = g_malloc (row * (gsize) rect.height);
  for (gsize y = 0; y < (gsize) rect.height; y++)
    memcpy (pixels + y * row, from + y * stride, row);
  g_autoptr (GstBuffer) buffer = gst_buffer_new_wrapped (pixels, row * (gsize) rect.height);
  gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB,
                             (guint) rect.width, (guint) rect.height);
  GstVideoOverlayRectangle *part =
      gst_video_overlay_rectangle_new_raw (buffer, rect.x, rect.y, (guint) rect.width, (guint) rect.height,
                                           GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA);
  if (to->composition)
    gst_video_overlay_composition_add_rectangle (to->composition, part);
  else
    to->composition = gst_video_overlay_composition_new (part);
  gst_video_overlay_rectangle_unref (part);
}

/*
 * Moves the pixels of @rect from the surface to @to. They are taken away from the surface, so that no pixel is blended
 * twice where boxes cross, and so that the surface is empty afterwards.
 */
static void
cut_out (GstDeimOverlay *self, DeimDrawRect rect, Target *to)
{
  if (rect.width == 0 || rect.height == 0)
    return;
  gint stride = cairo_image_surface_get_stride (self->surface);
  guint8 *from = cairo_image_surface_get_data (self->surface) + (gsize) rect.y * (gsize) stride + (gsize) rect.x * 4;
  if (!to->frame)
    add_rectangle (to, from, (gsize) stride, rect);
  else if (!gst_deim_blend (to->frame, to->x + rect.x, to->y + rect.y, from, rect.width, rect.height, stride))
    GST_WARNING_OBJECT (self, "frames of this format cannot be drawn into");
  for (gint y = 0; y < rect.height; y++, from += stride)
    memset (from, 0, (gsize) rect.width * 4);
}

/* The outline of @box as four strips, and its label by itself: the inside is empty, and large. @all: what is drawn. */
static void
cut_box (GstDeimOverlay *self, const DeimDrawBox *box, DeimDrawRect all, const DeimDrawStyle *style, Target *to)
{
  if (all.width <= 0 || all.height <= 0)
    return;
  gint all_right = all.x + all.width, all_bottom = all.y + all.height;
  /* The line with its halo, and room for rounding. */
  gint line = (gint) style->line_width + 6;
  gint left = (gint) box->x1 - 2, top = (gint) box->y1 - 2;
  gint right = (gint) MIN (box->x2, self->info.width) - line + 2,
       foot = (gint) MIN (box->y2, self->info.height) - line + 2;
  /* The label, less than two font sizes high, stands above the box or, where the frame ends, inside its upper edge. */
  gint label = style->hide_labels ? 0 : 2 * (gint) style->font_size;
  gint side = all.y < top ? top + line : MAX (top + line, all.y + label + line);
  if (side >= foot || left + line >= right || self->info.height < 2 * label) {
    cut_out (self, trim (self, all), to);
    return;
  }
  const DeimDrawRect parts[] = {
    { all.x, all.y, all.width, top - all.y },            /* label above */
    { all.x, top, all.width, line },                     /* upper edge */
    { all.x, top + line, all.width, side - top - line }, /* label inside */
    { left, foot, all_right - left, all_bottom - foot }, /* lower edge */
    { left, side, line, foot - side },
    { right, side, all_right - right, foot - side },
  };
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    cut_out (self, trim (self, parts[i]), to);
}

static gboolean
is_same_style (const DeimDrawStyle *a, const DeimDrawStyle *b)
{
  return a->line_width == b->line_width && a->font_size == b->font_size && a->hide_labels == b->hide_labels &&
         a->hide_scores == b->hide_scores;
}

/* Makes what is drawn on, where there is none. A failure is posted; what Cairo returned stays until the element stops
 * or the size changes, so that there is one message of it. */
static gboolean
have_surface (GstDeimOverlay *self)
{
  if (self->surface)
    return cairo_surface_status (self->surface) == CAIRO_STATUS_SUCCESS;
  gint width = self->info.width, height = self->info.height;
  self->surface = cairo_image_surface_create (CAIRO_FORMAT_ARGB32, width, height);
  cairo_status_t status = cairo_surface_status (self->surface);
  if (status == CAIRO_STATUS_INVALID_SIZE)
    GST_ELEMENT_ERROR (
        self, STREAM, FORMAT,
        ("Frames of %dx%d are too large to draw on; put a videoscale before this element.", width, height),
        ("%s", cairo_status_to_string (status)));
  else if (status != CAIRO_STATUS_SUCCESS)
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT,
                       ("There is no memory to draw frames of %dx%d in; put a videoscale before this element, or leave "
                        "more memory to it.",
                        width, height),
                       ("%s", cairo_status_to_string (status)));
  return status == CAIRO_STATUS_SUCCESS;
}

/* Draws the boxes in "drawn" onto @to, and forgets them. There is a surface. */
static void
draw_boxes (GstDeimOverlay *self, Target *to)
{
  gint side = MIN (self->info.width, self->info.height);
  GST_OBJECT_LOCK (self);
  /* The sizes that draw.h takes by itself, said aloud because cut_box() needs them. */
  DeimDrawStyle style = { .line_width = self->line_width ? (gdouble) self->line_width : MAX (2, (side + 120) / 240),
                          .font_size = CLAMP (side / 28, 11, 48),
                          .hide_labels = !self->draw_labels,
                          .hide_scores = !self->draw_scores };
  GST_OBJECT_UNLOCK (self);

  if (!self->painter || !is_same_style (&style, &self->style)) {
    g_clear_pointer (&self->painter, deim_painter_free);
    self->painter = deim_painter_new (self->info.width, self->info.height, &style);
    self->style = style;
  }

  const DeimDrawBox *drawn = (const DeimDrawBox *) (gpointer) self->drawn->data;
  cairo_t *cr = cairo_create (self->surface);
  g_autofree DeimDrawRect *touched = g_new0 (DeimDrawRect, self->drawn->len);
  deim_painter_draw (self->painter, cr, drawn, self->drawn->len, touched);
  cairo_destroy (cr);
  cairo_surface_flush (self->surface);

  for (guint i = 0; i < self->drawn->len; i++)
    cut_box (self, &drawn[i], touched[i], &style, to);
  cairo_surface_mark_dirty (self->surface);
  g_array_set_size (self->drawn, 0);
}

/* Regions of other elements have labels but no class numbers; the same label gets the same colour. */
static guint
colour_of (const GstDeimBox *box)
{
  if (box->label_id >= 0)
    return (guint) box->label_id;
  return box->label ? g_str_hash (box->label) % 1021 : 0;
}

/* Adds the held boxes of whoever did not look at the frame. */
static void
hold_boxes (GstDeimOverlay *self, GstBuffer *buffer, const GstSegment *segment)
{
  GST_OBJECT_LOCK (self);
  GstClockTime longest = self->hold * GST_MSECOND;
  GST_OBJECT_UNLOCK (self);
  g_array_set_size (self->looks, 0);
  gst_deim_frame_meta_read (buffer, self->looks);
  if (!self->told_missing && gst_deim_count_missing (self->looks, self->boxes) > 0) {
    GST_ELEMENT_WARNING (
        self, STREAM, FAILED,
        ("Detections were removed from frames before they came here, so their boxes are not drawn; put "
         "this element, or deimdetect too, on the other side of what crops, flips or copies frames "
         "(videocrop, for example)."),
        ("DeimFrameMeta speaks of detections, and the frame has none"));
    self->told_missing = TRUE;
  }
  gst_deim_hold_complete (self->held, self->looks, self->boxes,
                          gst_deim_running_time (segment, GST_BUFFER_PTS (buffer)), longest);
}

/* Boxes are not held over a seek or into another stream. */
static GstPadProbeReturn
on_sink_event (GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
  GstDeimOverlay *self = user_data;
  switch (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))) {
  case GST_EVENT_FLUSH_STOP:
  case GST_EVENT_SEGMENT:
  case GST_EVENT_STREAM_START:
    gst_deim_hold_forget (self->held);
    break;
  default:
    break;
  }
  return GST_PAD_PROBE_OK;
}

/* What overlaycomposition agreed upon with downstream. */
static gboolean
downstream_blends (GstDeimOverlay *self)
{
  g_autoptr (GstPad) src = gst_element_get_static_pad (self->composer, "src");
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (src);
  return caps && gst_caps_features_contains (gst_caps_get_features (caps, 0),
                                             GST_CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION);
}

/* Handler of overlaycomposition::draw, once per frame. It comes before blend_here(), which draws where downstream does
 * not blend, and which ends the stream where drawing has failed. */
static GstVideoOverlayComposition *
on_draw (GstElement *composer, GstSample *sample, GstDeimOverlay *self)
{
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  g_array_set_size (self->boxes, 0);
  g_array_set_size (self->drawn, 0);
  gst_deim_meta_read (buffer, self->boxes);
  hold_boxes (self, buffer, gst_sample_get_segment (sample));
  if (self->boxes->len == 0 || self->info.width <= 0 || self->info.height <= 0)
    return NULL;

  for (guint i = 0; i < self->boxes->len; i++) {
    const GstDeimBox *box = &g_array_index (self->boxes, GstDeimBox, i);
    DeimDrawBox drawn = { .x1 = box->x,
                          .y1 = box->y,
                          .x2 = (gdouble) box->x + box->w,
                          .y2 = (gdouble) box->y + box->h,
                          .label = box->label,
                          .score = box->confidence,
                          .class_index = colour_of (box),
                          .track_id = box->track_id,
                          .predicted = box->predicted };
    g_array_append_val (self->drawn, drawn);
  }
  Target to = { .frame = NULL };
  if (downstream_blends (self) && have_surface (self))
    draw_boxes (self, &to);
  return to.composition;
}

/* Takes a frame out of the stream, which ends. */
static GstPadProbeReturn
fail (GstPadProbeInfo *info)
{
  gst_buffer_unref (GST_PAD_PROBE_INFO_BUFFER (info));
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = GST_FLOW_ERROR;
  return GST_PAD_PROBE_HANDLED;
}

/* Draws into a frame that on_draw() left boxes for: overlaycomposition could blend it too, at the cost that
 * gstdeimblend.h tells of. */
static GstPadProbeReturn
blend_here (GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
  GstDeimOverlay *self = user_data;
  GstVideoFrame frame;
  if (self->drawn->len == 0)
    return GST_PAD_PROBE_OK;
  if (!have_surface (self))
    return fail (info);
  GstBuffer *buffer = gst_buffer_make_writable (GST_PAD_PROBE_INFO_BUFFER (info));
  GST_PAD_PROBE_INFO_DATA (info) = buffer;
  if (!gst_video_frame_map (&frame, &self->info, buffer, GST_MAP_READWRITE)) {
    GST_ELEMENT_ERROR (self, RESOURCE, WRITE, ("A frame cannot be drawn into: its memory cannot be mapped."),
                       ("%" GST_PTR_FORMAT, buffer));
    return fail (info);
  }
  /* Frames are mapped whole, and the picture is a part of some of them. A sink that blends counts from the picture. */
  const GstVideoCropMeta *crop = gst_buffer_get_video_crop_meta (buffer);
  Target to = { .frame = &frame };
  if (crop) {
    to.x = (gint) MIN (crop->x, G_MAXINT / 2);
    to.y = (gint) MIN (crop->y, G_MAXINT / 2);
  }
  draw_boxes (self, &to);
  gst_video_frame_unmap (&frame);
  return GST_PAD_PROBE_OK;
}

/* Handler of overlaycomposition::caps-changed, in the streaming thread. */
static void
on_caps_changed (GstElement *composer, GstCaps *caps, guint window_width, guint window_height, GstDeimOverlay *self)
{
  GstVideoInfo info;
  if (!gst_video_info_from_caps (&info, caps))
    return;
  if (info.width != self->info.width || info.height != self->info.height) {
    g_clear_pointer (&self->surface, cairo_surface_destroy);
    g_clear_pointer (&self->painter, deim_painter_free);
    gst_deim_hold_forget (self->held);
  }
  self->info = info;
}

/* ------------------------------------------------------------------- element */

static GstStateChangeReturn
gst_deim_overlay_change_state (GstElement *element, GstStateChange transition)
{
  GstDeimOverlay *self = GST_DEIM_OVERLAY (element);

  if (transition == GST_STATE_CHANGE_NULL_TO_READY && !self->composer) {
    GST_ELEMENT_ERROR (self, CORE, MISSING_PLUGIN,
                       ("GStreamer has no element overlaycomposition; install its base plugins."),
                       ("the plugin overlaycomposition belongs to gst-plugins-base 1.16 and later"));
    return GST_STATE_CHANGE_FAILURE;
  }
  GstStateChangeReturn result = GST_ELEMENT_CLASS (parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    g_clear_pointer (&self->surface, cairo_surface_destroy);
    g_clear_pointer (&self->painter, deim_painter_free);
    gst_video_info_init (&self->info);
    self->told_missing = FALSE;
    gst_deim_hold_forget (self->held);
  }
  return result;
}

static void
gst_deim_overlay_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstDeimOverlay *self = GST_DEIM_OVERLAY (object);

  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_DRAW_LABELS:
    self->draw_labels = g_value_get_boolean (value);
    break;
  case PROP_DRAW_SCORES:
    self->draw_scores = g_value_get_boolean (value);
    break;
  case PROP_LINE_WIDTH:
    self->line_width = g_value_get_uint (value);
    break;
  case PROP_HOLD:
    self->hold = g_value_get_uint (value);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_deim_overlay_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstDeimOverlay *self = GST_DEIM_OVERLAY (object);

  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_DRAW_LABELS:
    g_value_set_boolean (value, self->draw_labels);
    break;
  case PROP_DRAW_SCORES:
    g_value_set_boolean (value, self->draw_scores);
    break;
  case PROP_LINE_WIDTH:
    g_value_set_uint (value, self->line_width);
    break;
  case PROP_HOLD:
    g_value_set_uint (value, self->hold);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_deim_overlay_finalize (GObject *object)
{
  GstDeimOverlay *self = GST_DEIM_OVERLAY (object);

  g_clear_pointer (&self->surface, cairo_surface_destroy);
  g_clear_pointer (&self->painter, deim_painter_free);
  g_clear_pointer (&self->boxes, g_array_unref);
  g_clear_pointer (&self->drawn, g_array_unref);
  g_clear_pointer (&self->looks, g_array_unref);
  g_clear_pointer (&self->held, gst_deim_hold_free);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_deim_overlay_class_init (GstDeimOverlayClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  const GParamFlags live = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING;

  object_class->set_property = gst_deim_overlay_set_property;
  object_class->get_property = gst_deim_overlay_get_property;
  object_class->finalize = gst_deim_overlay_finalize;
  element_class->change_state = GST_DEBUG_FUNCPTR (gst_deim_overlay_change_state);

  /**
   * GstDeimOverlay:draw-labels:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      object_class, PROP_DRAW_LABELS,
      g_param_spec_boolean ("draw-labels", "Draw labels", "Write the label at each box", DEFAULT_DRAW_LABELS, live));
  /**
   * GstDeimOverlay:draw-scores:
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, PROP_DRAW_SCORES,
                                   g_param_spec_boolean ("draw-scores", "Draw scores",
                                                         "Write the confidence, in percent, behind the label",
                                                         DEFAULT_DRAW_SCORES, live));
  /**
   * GstDeimOverlay:line-width:
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, PROP_LINE_WIDTH,
                                   g_param_spec_uint ("line-width", "Line width",
                                                      "Width of the boxes' lines in pixels; 0 follows the frame size",
                                                      0, 64, DEFAULT_LINE_WIDTH, live));
  /**
   * GstDeimOverlay:hold:
   *
   * How long frames without inference show the boxes of the last frame that had one, from that frame's time on.
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, PROP_HOLD,
                                   g_param_spec_uint ("hold", "Hold",
                                                      "Milliseconds for which frames without inference show the last "
                                                      "boxes, dashed; 0 never does",
                                                      0, G_MAXINT, DEFAULT_HOLD, live));

  gst_element_class_set_static_metadata (element_class, "DEIM overlay", "Analyzer/Visualization/Video",
                                         "Draws boxes and labels of detected objects", "the gst-deim authors");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
}

/* A ghost of the composer's pad, or a pad without target when there is no composer: the element then fails to start. */
static void
add_ghost_pad (GstDeimOverlay *self, const gchar *name)
{
  GstPadTemplate *template = gst_element_class_get_pad_template (GST_ELEMENT_GET_CLASS (self), name);
  g_autoptr (GstPad) target = self->composer ? gst_element_get_static_pad (self->composer, name) : NULL;
  GstPad *ghost = target ? gst_ghost_pad_new_from_template (name, target, template)
                         : gst_ghost_pad_new_no_target_from_template (name, template);
  gst_element_add_pad (GST_ELEMENT (self), ghost);
}

static void
gst_deim_overlay_init (GstDeimOverlay *self)
{
  self->draw_labels = DEFAULT_DRAW_LABELS;
  self->draw_scores = DEFAULT_DRAW_SCORES;
  self->line_width = DEFAULT_LINE_WIDTH;
  self->hold = DEFAULT_HOLD;
  self->looks = g_array_new (FALSE, FALSE, sizeof (GstDeimFrameLook));
  self->held = gst_deim_hold_new ();
  self->boxes = g_array_new (FALSE, FALSE, sizeof (GstDeimBox));
  self->drawn = g_array_new (FALSE, FALSE, sizeof (DeimDrawBox));

  /* GStreamer's own element negotiates with downstream who blends; what to blend is drawn here. */
  self->composer = gst_element_factory_make ("overlaycomposition", NULL);
  if (self->composer) {
    g_signal_connect (self->composer, "draw", G_CALLBACK (on_draw), self);
    g_signal_connect (self->composer, "caps-changed", G_CALLBACK (on_caps_changed), self);
    gst_bin_add (GST_BIN (self), self->composer);
    g_autoptr (GstPad) sink = gst_element_get_static_pad (self->composer, "sink");
    gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM | GST_PAD_PROBE_TYPE_EVENT_FLUSH, on_sink_event, self,
                       NULL);
    g_autoptr (GstPad) src = gst_element_get_static_pad (self->composer, "src");
    gst_pad_add_probe (src, GST_PAD_PROBE_TYPE_BUFFER, blend_here, self, NULL);
  }
  add_ghost_pad (self, "sink");
  add_ghost_pad (self, "src");
}
