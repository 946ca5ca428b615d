/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset-preview.c - `deim dataset preview`: a sheet of pictures as training sees them, with their boxes. */
#include "dataset.h"
#include "overlay/draw.h"
#include "trainer/dataset.h"
#include "trainer/loader.h"
#include "trainer/recipe.h"

#include <stdio.h>
#include <string.h>

typedef struct {
  gchar *output, *recipe, *size;
  gint epoch, epochs, batches, seed;
  gdouble mosaic, mixup;
  gboolean plain, light;
} Options;

static void
clear_options (Options *options)
{
  g_free (options->output);
  g_free (options->recipe);
  g_free (options->size);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, clear_options)

#define COLUMNS 4 /* pictures in a batch, and in a row of the sheet */

/* Picture @row of the batch, drawn at the origin. */
static void
draw_picture (cairo_t *cr, const DeimBatch *batch, guint row, const DeimDataset *dataset)
{
  int width = (int) batch->width, height = (int) batch->height;
  gsize plane = (gsize) batch->width * batch->height;
  const gfloat *rgb = batch->pixels + (gsize) row * 3 * plane;
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  guint8 *data = cairo_image_surface_get_data (surface);
  gsize stride = (gsize) cairo_image_surface_get_stride (surface);

  for (gsize y = 0; data && y < batch->height; y++)
    for (gsize x = 0; x < batch->width; x++) {
      guint32 pixel = 0;
      for (guint c = 0; c < 3; c++)
        pixel = pixel << 8 | (guint32) (rgb[c * plane + y * batch->width + x] * 255 + 0.5f);
      memcpy (data + y * stride + x * sizeof pixel, &pixel, sizeof pixel);
    }
  cairo_surface_mark_dirty (surface);
  cairo_set_source_surface (cr, surface, 0, 0);
  cairo_paint (cr);
  cairo_surface_destroy (surface);

  const GArray *objects = batch->objects[row];
  g_autofree DeimDrawBox *boxes = g_new0 (DeimDrawBox, objects->len);
  for (guint i = 0; i < objects->len; i++) {
    const DeimBatchObject *object = &g_array_index (objects, DeimBatchObject, i);
    const gfloat *b = object->box;
    boxes[i] = (DeimDrawBox){
      .x1 = (b[0] - 0.5 * b[2]) * width,
      .y1 = (b[1] - 0.5 * b[3]) * height,
      .x2 = (b[0] + 0.5 * b[2]) * width,
      .y2 = (b[1] + 0.5 * b[3]) * height,
      .label = g_array_index (dataset->coco->categories, DeimCocoCategory, object->label).name,
      .score = -1,
      .class_index = object->label,
      .track_id = -1,
    };
  }
  const DeimDrawStyle style = { .line_width = 1, .font_size = 9 };
  deim_draw_boxes (cr, width, height, boxes, objects->len, &style);
}

static gboolean
draw_sheet (const DeimDataset *dataset, DeimLoader *loader, const Options *options, cairo_t *cr, guint cell_width,
            guint cell_height, GError **error)
{
  guint epoch = (guint) options->epoch, n = deim_loader_get_n_batches (loader);

  for (guint i = 0; i < (guint) options->batches; i++) {
    if (i % n == 0)
      deim_loader_start (loader, epoch + i / n, 0);
    g_autoptr (DeimBatch) batch = deim_loader_next (loader, error);
    if (!batch)
      return FALSE;
    for (guint k = 0; k < batch->n; k++) {
      cairo_save (cr);
      cairo_translate (cr, k * cell_width, i * cell_height);
      cairo_scale (cr, (double) cell_width / batch->width, (double) cell_height / batch->height);
      cairo_rectangle (cr, 0, 0, batch->width - 2, batch->height - 2); /* a margin between pictures */
      cairo_clip (cr);
      draw_picture (cr, batch, k, dataset);
      cairo_restore (cr);
    }
  }
  return TRUE;
}

static int
write_sheet (const gchar *folder, const Options *options, const DeimRecipe *recipe, guint width, guint height)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDataset) dataset = deim_dataset_open (folder, DEIM_DATASET_TRAINING, &error);
  if (!dataset)
    return deim_tool_fail ("%s", error->message);
  DeimSampleSource source = deim_dataset_source (dataset);
  const DeimLoaderOptions loading = {
    .policy = options->plain ? NULL : &recipe->augment,
    .batch = COLUMNS,
    .width = width,
    .height = height,
    .threads = MIN (g_get_num_processors (), 8),
    .seed = (guint64) options->seed,
  };
  g_autoptr (DeimLoader) loader = deim_loader_new (&source, &loading, &error);
  if (!loader)
    return deim_tool_fail ("%s", error->message);

  cairo_surface_t *sheet =
      cairo_image_surface_create (CAIRO_FORMAT_RGB24, (int) (COLUMNS * width), options->batches * (int) height);
  cairo_t *cr = cairo_create (sheet);
  gboolean drawn = draw_sheet (dataset, loader, options, cr, width, height, &error);
  cairo_destroy (cr);
  cairo_status_t status = drawn ? cairo_surface_write_to_png (sheet, options->output) : CAIRO_STATUS_SUCCESS;
  cairo_surface_destroy (sheet);
  if (!drawn)
    return deim_tool_fail ("%s", error->message);
  if (status != CAIRO_STATUS_SUCCESS)
    return deim_tool_fail ("%s cannot be written: %s", options->output, cairo_status_to_string (status));
  printf ("%s  %d pictures of epoch %d of %u\n", options->output, COLUMNS * options->batches, options->epoch,
          recipe->epochs);
  return DEIM_EXIT_OK;
}

/* The recipe as `deim train` follows it. FALSE if there is no such architecture. */
static gboolean
find_recipe (const Options *options, guint width, guint height, DeimRecipe *ret_recipe)
{
  const gchar *name = options->recipe ? options->recipe : "deimv2_n";
  DeimRecipe recipe = deim_recipe_find (name);
  DeimRecipeChanges changes = {
    .epochs = options->epochs == DEIM_NOT_GIVEN ? 0 : (guint) options->epochs,
    .light = options->light,
    .mosaic = options->mosaic,
    .mixup = options->mixup,
    .lr_end = -1,
  };
  if (!deim_recipe_find_scale (name, height, width, &changes.scale))
    return FALSE;
  *ret_recipe = deim_recipe_adapt (&recipe, &changes);
  return TRUE;
}

static int
run (gchar **argv)
{
  g_auto (Options) options = {
    .epoch = DEIM_NOT_GIVEN,
    .epochs = DEIM_NOT_GIVEN,
    .batches = 4,
    .mosaic = DEIM_NOT_GIVEN,
    .mixup = DEIM_NOT_GIVEN,
  };
  DeimRecipe recipe;
  const GOptionEntry entries[] = {
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output, "The picture to write, .png", "FILE" },
    { "recipe", 0, 0, G_OPTION_ARG_STRING, &options.recipe,
      "Augment as for this architecture (default: deimv2_n; \"deim info --list\")", "ARCH" },
    { "epoch", 0, 0, G_OPTION_ARG_INT, &options.epoch, "As this epoch does (default: the recipe's first with mosaic)",
      "N" },
    { "epochs", 0, 0, G_OPTION_ARG_INT, &options.epochs, "Epochs of the whole training (default: the recipe's)", "N" },
    { "light", 0, 0, G_OPTION_ARG_NONE, &options.light, "As \"deim train --light\"", NULL },
    { "mosaic", 0, 0, G_OPTION_ARG_DOUBLE, &options.mosaic, "Its probability (default: the recipe's)", "P" },
    { "mixup", 0, 0, G_OPTION_ARG_DOUBLE, &options.mixup, "Its probability (default: the recipe's)", "P" },
    { "rows", 0, 0, G_OPTION_ARG_INT, &options.batches, "Rows of four pictures, a batch each (default: 4)", "N" },
    { "size", 0, 0, G_OPTION_ARG_STRING, &options.size, "Height and width of the input (default: 320x320)", "HxW" },
    { "seed", 0, 0, G_OPTION_ARG_INT, &options.seed, "Another choice of everything random (default: 0)", "S" },
    { "plain", 0, 0, G_OPTION_ARG_NONE, &options.plain, "Not augmented, as in validation", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  guint width = 320, height = 320;

  if (!deim_tool_parse (&deim_dataset_preview, entries, NULL, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (!arguments[0] || arguments[1])
    return deim_tool_misuse ("give one folder, DIR");
  if (!options.output)
    return deim_tool_misuse ("--output FILE.png missing");
  if (options.batches < 1 || options.batches > 64)
    return deim_tool_misuse ("--rows must be 1 to 64");
  if (options.size && !deim_tool_parse_size (options.size, &height, &width))
    return deim_tool_misuse ("\"%s\" is no size; give HxW, such as 320x320", options.size);
  if (width > 1280 || height > 1280)
    return deim_tool_misuse ("--size must be at most 1280x1280");
  if ((options.epochs != DEIM_NOT_GIVEN && options.epochs < 1) || !deim_tool_is_share (options.mosaic) ||
      !deim_tool_is_share (options.mixup))
    return deim_tool_misuse ("--epochs must be 1 or more, --mosaic and --mixup 0 to 1");
  if (options.epoch != DEIM_NOT_GIVEN && options.epoch < 0)
    return deim_tool_misuse ("--epoch must be 0 or more");
  if (!find_recipe (&options, width, height, &recipe))
    return deim_tool_misuse ("there is no architecture \"%s\"; \"deim info --list\" names them", options.recipe);
  if (options.epoch == DEIM_NOT_GIVEN)
    options.epoch = (gint) recipe.augment.start;
  return write_sheet (arguments[0], &options, &recipe, width, height);
}

const DeimTool deim_dataset_preview = {
  .name = "preview",
  .arguments = "DIR --output FILE.png",
  .summary = "Draw training pictures as an epoch sees them, with their boxes",
  .details =
      "A row is a batch of four, as the loader makes it: mosaic, zoom-out, crops, light and colour, flips, mixup\n"
      "and CopyBlend where the recipe has them in that epoch. It is what the network would get from \"deim train\"\n"
      "with the same --input, --epochs, --light, --mosaic and --mixup.\n\n"
      "Examples:\n"
      "  deim dataset preview shapes --output sheet.png\n"
      "  deim dataset preview shapes --output late.png --recipe deimv2_n --epoch 150\n",
  .run = run,
};
