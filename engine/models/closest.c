/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* closest.c - the published networks that are closest to what was read off a state dict; see closest.h. */
#include "engine/models/closest.h"

#include "engine/deim.h"

static gint
backbone_distance (const DeimBackboneArch *a, const DeimBackboneArch *b)
{
  if (a->kind != b->kind)
    return 5 * DEIM_DISTANCE_FAMILY;
  gint distance = 0;
  gboolean same = a->n_stages == b->n_stages && a->stem_mid == b->stem_mid && a->stem_out == b->stem_out &&
                  a->bottleneck == b->bottleneck;
  for (gint s = 0; s < DEIM_MAX_STAGES && same; s++) {
    const DeimStage *x = &a->stages[s], *y = &b->stages[s];
    same = x->in == y->in && x->mid == y->mid && x->out == y->out && x->blocks == y->blocks && x->light == y->light &&
           x->kernel == y->kernel && x->layers == y->layers;
  }
  distance += same ? 0 : 200;
  distance += a->first_stage != b->first_stage ? 100 : 0;
  distance += a->rt_names != b->rt_names ? 50 : 0;
  distance += a->lab != b->lab ? 20 : 0;
  return distance;
}

gint
deim_arch_distance (const DeimArch *a, const DeimArch *b)
{
  const DeimEncoderArch *e = &a->encoder, *f = &b->encoder;
  const DeimDecoderArch *d = &a->decoder, *g = &b->decoder;
  gint distance = backbone_distance (&a->backbone, &b->backbone);
  distance += e->kind != f->kind ? DEIM_DISTANCE_FAMILY : 0;
  distance += e->hidden != f->hidden ? 100 : 0;
  distance += e->fusion != f->fusion ? 100 : 0;
  distance += e->csp2 != f->csp2 ? 50 : 0;
  distance += e->width != f->width ? 50 : 0;
  distance += e->sum != f->sum ? 30 : 0;
  distance += e->layers != f->layers ? 20 : 0;
  distance += e->ff != f->ff && e->layers ? 20 : 0;
  distance += e->depth != f->depth ? 20 : 0;
  distance += d->kind != g->kind ? 10 * DEIM_DISTANCE_FAMILY : 0;
  distance += d->query_pos_layers != g->query_pos_layers ? DEIM_DISTANCE_FAMILY : 0;
  distance += d->v1_names != g->v1_names ? 500 : 0;
  distance += d->hidden != g->hidden ? 100 : 0;
  distance += d->levels != g->levels ? 50 : 0;
  distance += d->layers != g->layers ? 50 : 0;
  distance += d->ff != g->ff ? 30 : 0;
  distance += d->gate != g->gate ? 30 : 0;
  distance += d->reg_scale != g->reg_scale ? 10 : 0;
  for (gint l = 0; l < DEIM_MAX_LEVELS; l++)
    if (d->points[l] != g->points[l])
      return distance + 10;
  return distance;
}

void
deim_closest_find (const DeimArch *read, DeimClosest *ret)
{
  *ret = (DeimClosest){ .distance = G_MAXINT };
  for (guint i = 0; i < deim_arch_n_presets (); i++) {
    DeimArch preset;
    deim_arch_preset (i, &preset);
    gint distance = deim_arch_distance (read, &preset);
    if (distance < ret->distance) {
      ret->distance = distance;
      ret->n = 0;
    }
    if (distance == ret->distance && ret->n < G_N_ELEMENTS (ret->arch))
      ret->arch[ret->n++] = preset;
  }
}

void
deim_closest_filter (DeimClosest *closest, gboolean (*keep) (const DeimArch *arch, gconstpointer data),
                     gconstpointer data)
{
  guint n = 0;
  for (guint i = 0; i < closest->n; i++)
    n += keep (&closest->arch[i], data) ? 1 : 0;
  if (!n || n == closest->n)
    return;
  guint to = 0;
  for (guint i = 0; i < closest->n; i++)
    if (keep (&closest->arch[i], data))
      closest->arch[to++] = closest->arch[i];
  closest->n = to;
}

static void G_GNUC_PRINTF (3, 4) add_if (GString *list, gboolean differs, const gchar *format, ...)
{
  if (!differs)
    return;
  va_list args;
  va_start (args, format);
  g_string_append (list, list->len ? ", " : "");
  g_string_append_vprintf (list, format, args);
  va_end (args);
}

/* The published backbone that it is. */
static const gchar *
find_backbone (const DeimBackboneArch *backbone)
{
  for (guint i = 0; i < deim_arch_n_presets (); i++) {
    DeimArch preset;
    DeimArchInfo info;
    deim_arch_preset (i, &preset);
    if (backbone_distance (backbone, &preset.backbone) == 0 && deim_arch_get_info (preset.name, &info))
      return info.backbone;
  }
  return "of no published network";
}

gchar *
deim_arch_describe_differences (const DeimArch *read, const DeimArch *preset)
{
  const DeimEncoderArch *e = &read->encoder, *f = &preset->encoder;
  const DeimDecoderArch *d = &read->decoder, *g = &preset->decoder;
  GString *list = g_string_new (NULL);
  add_if (list, backbone_distance (&read->backbone, &preset->backbone) > 0, "backbone (%s)",
          find_backbone (&read->backbone));
  add_if (list, e->hidden != f->hidden, "encoder of %d channels", e->hidden);
  add_if (list, e->kind != f->kind || e->fusion != f->fusion || e->csp2 != f->csp2 || e->sum != f->sum,
          "kind of its fusion");
  add_if (list, e->layers != f->layers, "%d layers of AIFI", e->layers);
  add_if (list, (e->ff != f->ff && e->layers) || e->width != f->width || e->depth != f->depth,
          "sizes inside the encoder");
  add_if (list,
          d->kind != g->kind || d->v1_names != g->v1_names || d->query_pos_layers != g->query_pos_layers ||
              d->gate != g->gate,
          "kind of its decoder layers");
  add_if (list, d->hidden != g->hidden, "decoder of %d channels", d->hidden);
  add_if (list, d->layers != g->layers, "%d decoder layers", d->layers);
  add_if (list, d->ff != g->ff, "decoder's feed-forward of %d", d->ff);
  add_if (list, d->levels != g->levels, "%d levels", d->levels);
  gboolean points = FALSE;
  for (gint l = 0; l < MIN (d->levels, g->levels); l++)
    points = points || d->points[l] != g->points[l];
  add_if (list, points, "sampling points");
  add_if (list, d->reg_scale != g->reg_scale || d->up != g->up, "scale of the boxes' bins");
  add_if (list, d->learned_content != g->learned_content, "%s content of queries",
          d->learned_content ? "learnt" : "computed");
  add_if (list, d->share_score != g->share_score || d->share_bbox != g->share_bbox, "heads %s by the layers",
          d->share_score || d->share_bbox ? "shared" : "not shared");
  return g_string_free (list, FALSE);
}
