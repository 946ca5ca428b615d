/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synth-scene.c - what is in a made-up picture, and where. Objects come one on
 * top of the other. Of every pixel is remembered whose it is, so that boxes are
 * those of what shows.
 */
#include "synth-paint.h"
#include "synth.h"

#include <math.h>
#include <string.h>

/* What a split means. Pairs are the ends of a range. */
typedef struct {
  const gchar *name;
  guint objects[2];
  gdouble size[2];     /* of an object, as a share of the picture's shorter side, with even logarithm */
  gdouble visible;     /* share of every object that shows at the end, at least */
  gdouble contrast[2]; /* distance of colours, of 0 .. 441 */
  gdouble spread;      /* of colours inside a texture */
  gdouble blur, noise; /* at most: deviation in pixels, and in steps of 255 */
  guint scribbles;     /* at most */
  gdouble crowding;    /* share of objects that stand close to another one */
} Split;

static const Split splits[] = {
  [DEIM_SYNTH_DEFAULT] = { "default", { 1, 12 }, { 0.08, 0.5 }, 0.45, { 70, 200 }, 60, 1, 10, 3, 0.15 },
  [DEIM_SYNTH_SPARSE] = { "sparse", { 1, 3 }, { 0.1, 0.6 }, 0.8, { 90, 220 }, 50, 0.7, 6, 2, 0 },
  [DEIM_SYNTH_HARD] = { "hard", { 10, 40 }, { 0.03, 0.3 }, 0.3, { 28, 80 }, 40, 1.6, 22, 8, 0.6 },
};
G_STATIC_ASSERT (G_N_ELEMENTS (splits) == DEIM_SYNTH_LAST);

#define TRIES      30 /* to place one object */
#define MIN_RADIUS 3.5
#define MIN_SIDE   4 /* pixels of a box */
#define NOBODY     0

/* An object in the scene. Its number in the map of owners is its index plus one. */
typedef struct {
  guint label;
  gdouble x, y, radius;
  guint whole, shown; /* pixels of it, and those that nothing covers */
} Thing;

typedef struct {
  const Split *split;
  DeimRandom random;
  DeimCanvas canvas;
  guint16 *owner; /* [height][width] */
  GArray *things; /* of Thing */
} Scene;

const gchar *
deim_synth_class_name (guint index)
{
  static const gchar *const names[DEIM_SYNTH_CLASSES] = { "disc", "square", "triangle", "star", "cross", "ring" };
  return names[index];
}

const gchar *
deim_synth_split_name (DeimSynthSplit split)
{
  return splits[split].name;
}

gboolean
deim_synth_split_from_name (const gchar *name, DeimSynthSplit *ret_split)
{
  for (guint i = 0; i < DEIM_SYNTH_LAST; i++)
    if (g_str_equal (splits[i].name, name)) {
      *ret_split = (DeimSynthSplit) i;
      return TRUE;
    }
  return FALSE;
}

/* --------------------------------------------------------------- background */

static void
paint_background (Scene *scene)
{
  DeimRandom *random = &scene->random;
  guint w = scene->canvas.width, h = scene->canvas.height, side = MIN (w, h);
  gfloat colour[3];

  for (guint c = 0; c < 3; c++)
    colour[c] = (gfloat) deim_random_range (random, 30, 225);
  DeimTexture ground = deim_texture_draw (random, colour, 90, side);
  deim_canvas_fill (&scene->canvas, &ground);

  guint scribbles = deim_random_below (random, scene->split->scribbles + 1);
  for (guint i = 0; i < scribbles; i++) {
    DeimMask mask;
    for (guint c = 0; c < 3; c++)
      colour[c] = (gfloat) deim_random_range (random, 0, 255);
    DeimTexture line = deim_texture_draw (random, colour, 30, side);
    deim_mask_scribble (&mask, random, w, h, MAX (1, side * deim_random_range (random, 0.004, 0.03)));
    deim_canvas_paint (&scene->canvas, &mask, &line, deim_random_range (random, 0.3, 0.9));
    deim_mask_finish (&mask);
  }
}

/* ------------------------------------------------------------------ objects */

/* Calls for each pixel of a mask that is covered by half or more and in the picture. */
#define FOR_COVERED(scene, mask, place)                                                                                \
  for (guint _i = 0; _i < (mask)->width * (mask)->height; _i++)                                                        \
    if ((mask)->cover[_i] >= 128 && find_place ((scene), (mask), _i, &(place)))

static gboolean
find_place (const Scene *scene, const DeimMask *mask, guint i, gsize *ret_place)
{
  gint x = mask->x + (gint) (i % mask->width), y = mask->y + (gint) (i / mask->width);
  if (x < 0 || y < 0 || x >= (gint) scene->canvas.width || y >= (gint) scene->canvas.height)
    return FALSE;
  *ret_place = (gsize) y * scene->canvas.width + (gsize) x;
  return TRUE;
}

/* Whether @thing may stand there: enough of it in the picture, and enough left of those that it would cover. */
static gboolean
may_stand (const Scene *scene, const DeimMask *mask, Thing *thing)
{
  g_autofree guint *covered = g_new0 (guint, scene->things->len + 1);
  gsize place;

  thing->whole = thing->shown = 0;
  for (guint i = 0; i < mask->width * mask->height; i++)
    thing->whole += mask->cover[i] >= 128;
  FOR_COVERED (scene, mask, place)
  {
    thing->shown++;
    covered[scene->owner[place]]++;
  }
  gdouble visible = MAX (scene->split->visible, 0.5); /* at the edge of the picture */
  if (thing->shown < visible * thing->whole || thing->shown < MIN_SIDE * MIN_SIDE / 2)
    return FALSE;
  for (guint i = 0; i < scene->things->len; i++) {
    const Thing *other = &g_array_index (scene->things, Thing, i);
    if (covered[i + 1] && other->shown - covered[i + 1] < scene->split->visible * other->whole)
      return FALSE;
  }
  return TRUE;
}

/* A colour that far from @ground; the best of some where none is. */
static void
draw_colour (Scene *scene, const gfloat ground[3], gfloat ret_colour[3])
{
  DeimRandom *random = &scene->random;
  gdouble wanted = deim_random_range (random, scene->split->contrast[0], scene->split->contrast[1]), best = G_MAXDOUBLE;

  for (guint tries = 0; tries < 12; tries++) {
    gdouble direction[3], length = 0, distance = 0;
    gfloat colour[3];
    for (guint c = 0; c < 3; c++) {
      direction[c] = deim_random_normal (random);
      length += direction[c] * direction[c];
    }
    for (guint c = 0; c < 3; c++) {
      colour[c] = (gfloat) CLAMP (ground[c] + wanted * direction[c] / sqrt (length), 0, 255);
      distance += (colour[c] - ground[c]) * (colour[c] - ground[c]);
    }
    if (fabs (sqrt (distance) - wanted) < best) {
      best = fabs (sqrt (distance) - wanted);
      memcpy (ret_colour, colour, sizeof colour);
    }
  }
}

/* Where the next object may go: anywhere, or beside one that is there. */
static void
draw_place (Scene *scene, Thing *thing)
{
  DeimRandom *random = &scene->random;
  gdouble w = scene->canvas.width, h = scene->canvas.height;

  thing->x = deim_random_range (random, 0, w);
  thing->y = deim_random_range (random, 0, h);
  if (scene->things->len && deim_random_chance (random, scene->split->crowding)) {
    const Thing *near = &g_array_index (scene->things, Thing, deim_random_below (random, scene->things->len));
    gdouble angle = deim_random_range (random, 0, 2 * G_PI);
    gdouble distance = deim_random_range (random, 0.7, 1.3) * (near->radius + thing->radius);
    thing->x = CLAMP (near->x + distance * cos (angle), 0, w);
    thing->y = CLAMP (near->y + distance * sin (angle), 0, h);
  }
}

static void
take_stand (Scene *scene, const DeimMask *mask, const Thing *thing)
{
  gfloat ground[3], colour[3];
  gsize place;

  deim_canvas_mean (&scene->canvas, mask, ground);
  draw_colour (scene, ground, colour);
  DeimTexture texture = deim_texture_draw (&scene->random, colour,
                                           scene->split->spread * deim_random_unit (&scene->random), 2 * thing->radius);
  deim_canvas_paint (&scene->canvas, mask, &texture, 1);
  g_array_append_val (scene->things, *thing);
  FOR_COVERED (scene, mask, place)
  {
    guint16 *owner = &scene->owner[place];
    if (*owner != NOBODY)
      g_array_index (scene->things, Thing, *owner - 1).shown--;
    *owner = (guint16) scene->things->len;
  }
}

/* Tries some places with ever smaller objects; a picture that is full stays as it is. */
static void
add_thing (Scene *scene)
{
  DeimRandom *random = &scene->random;
  gdouble side = MIN (scene->canvas.width, scene->canvas.height);
  const gdouble *size = scene->split->size;
  gdouble radius = 0.5 * side * exp (deim_random_range (random, log (size[0]), log (size[1])));
  gdouble stretch = sqrt (exp (deim_random_range (random, -log (1.5), log (1.5))));
  gdouble angle = deim_random_range (random, 0, 2 * G_PI);
  Thing thing = { .label = deim_random_below (random, DEIM_SYNTH_CLASSES) };

  for (guint tries = 0; tries < TRIES; tries++) {
    DeimMask mask;
    thing.radius = MAX (radius * pow (0.97, tries), MIN_RADIUS);
    draw_place (scene, &thing);
    deim_mask_shape (&mask, thing.label, thing.x, thing.y, thing.radius, stretch, angle);
    gboolean stands = may_stand (scene, &mask, &thing);
    if (stands)
      take_stand (scene, &mask, &thing);
    deim_mask_finish (&mask);
    if (stands)
      return;
  }
}

/* --------------------------------------------------------------- annotation */

static void
collect_objects (const Scene *scene, DeimSample *sample)
{
  guint n = scene->things->len, width = scene->canvas.width;
  g_autofree DeimObject *objects = g_new0 (DeimObject, n);

  for (guint i = 0; i < n; i++)
    objects[i] = (DeimObject){ G_MAXDOUBLE, G_MAXDOUBLE, 0, 0, g_array_index (scene->things, Thing, i).label, 0 };
  for (guint y = 0; y < scene->canvas.height; y++)
    for (guint x = 0; x < width; x++) {
      guint owner = scene->owner[(gsize) y * width + x];
      if (owner == NOBODY)
        continue;
      DeimObject *object = &objects[owner - 1];
      object->x1 = MIN (object->x1, x);
      object->y1 = MIN (object->y1, y);
      object->x2 = MAX (object->x2, x + 1);
      object->y2 = MAX (object->y2, y + 1);
      object->area++;
    }
  g_array_append_vals (sample->objects, objects, n);
}

DeimSample *
deim_synth_scene (DeimSynthSplit split, guint width, guint height, guint64 seed, guint index)
{
  DeimRandom root = deim_random_new (seed), of_split = deim_random_fork (&root, split);
  Scene scene = { .split = &splits[split], .random = deim_random_fork (&of_split, index) };
  DeimRandom *random = &scene.random;

  deim_canvas_init (&scene.canvas, width, height);
  scene.owner = g_new0 (guint16, (gsize) width * height);
  scene.things = g_array_new (FALSE, FALSE, sizeof (Thing));
  paint_background (&scene);
  guint wanted = scene.split->objects[0];
  wanted += deim_random_below (random, scene.split->objects[1] - wanted + 1);
  for (guint i = 0; i < wanted; i++)
    add_thing (&scene);

  deim_canvas_light (&scene.canvas, random, deim_random_range (random, 0, 0.3));
  if (deim_random_chance (random, 0.5))
    deim_canvas_blur (&scene.canvas, deim_random_range (random, 0, scene.split->blur));
  DeimImage *image = deim_canvas_expose (&scene.canvas, random, deim_random_range (random, 0, scene.split->noise));
  DeimSample *sample = deim_sample_new (image);
  collect_objects (&scene, sample);

  deim_canvas_finish (&scene.canvas);
  g_free (scene.owner);
  g_array_unref (scene.things);
  return sample;
}
