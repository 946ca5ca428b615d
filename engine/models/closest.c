/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* closest.c - the published networks that are closest to what was read off a state dict; see closest.h. */
#include "engine/models/closest.h"

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
