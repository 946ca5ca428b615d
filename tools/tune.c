/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tune.c - `deim tune`: finds the fastest variants of a network's layers on this device, and keeps them. */
#include "progress.h"
#include "tool.h"

#include <stdio.h>

typedef struct {
  gchar *size;
  gint frames, batch;
  gboolean forget;
} Options;

static void
clear_options (Options *options)
{
  g_free (options->size);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, clear_options)

static gboolean
tell_progress (const gchar *variant, guint step, guint steps, guint frame, gpointer user_data)
{
  deim_progress_update ("tuning, step %u of %u: %s, frame %u of %u", step + 1, steps, variant, frame,
                        ((const Options *) user_data)->frames);
  return !deim_tool_is_interrupted ();
}

static void
print_layers (const GArray *layers)
{
  gdouble usual = 0, best = 0;

  printf ("%-44s %6s  %-14s %10s  %-14s %10s %6s\n", "Layer", "layers", "untuned", "ms", "tuned", "ms", "ratio");
  for (guint i = 0; i < layers->len; i++) {
    const DeimTunedLayer *l = &g_array_index (layers, DeimTunedLayer, i);
    usual += l->usual_ms;
    best += l->best_ms;
    printf ("%-44s %6u  %-14s %10.3f  %-14s %10.3f %6.2f\n", l->layer, l->count, l->usual, l->usual_ms, l->best,
            l->best_ms, l->usual_ms > 0 ? l->best_ms / l->usual_ms : 1);
  }
  printf ("%-44s %6s  %-14s %10.3f  %-14s %10.3f %6.2f\n", "All of them", "", "", usual, "", best,
          usual > 0 ? best / usual : 1);
}

static int
forget (DeimDevice *device, const gchar *file)
{
  g_autoptr (GError) error = NULL;

  if (!deim_device_forget_tuning (device, &error))
    return deim_tool_fail ("%s", error->message);
  printf ("%s is not there any more\n", file ? file : "the tuning");
  return DEIM_EXIT_OK;
}

static int
tune (const Options *options, DeimDevice *device, const gchar *file, DeimModel *model,
      const DeimDetectorOptions *settings)
{
  g_autoptr (GError) error = NULL;

  deim_progress_update ("preparing %s for %s", deim_model_get_info (model)->arch, deim_device_get_name (device));
  g_autoptr (GArray) layers =
      deim_device_tune (device, model, settings, (guint) options->frames, tell_progress, (gpointer) options, &error);
  deim_progress_clear ();
  if (!layers)
    return deim_tool_fail ("%s", error->message);
  print_layers (layers);
  if (deim_tool_is_interrupted ())
    return deim_tool_fail ("interrupted; what was found so far is kept");
  printf ("Saved in %s\n", file);
  return DEIM_EXIT_OK;
}

static int
run (gchar **argv)
{
  g_auto (DeimToolOptions) shared = { 0 };
  g_auto (Options) options = { .frames = 20, .batch = 1 };
  const GOptionEntry entries[] = {
    { "size", 0, 0, G_OPTION_ARG_STRING, &options.size,
      "Input of the network, multiples of 32 (default: the model's own)", "HxW" },
    { "frames", 'n', 0, G_OPTION_ARG_INT, &options.frames, "Frames to measure with each variant (default: 20)", "N" },
    { "batch", 0, 0, G_OPTION_ARG_INT, &options.batch, "Frames computed at a time (default: 1)", "N" },
    { "forget", 0, 0, G_OPTION_ARG_NONE, &options.forget, "Remove what was found before; without MODEL", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;
  DeimDetectorOptions settings = { 0 };

  if (!deim_tool_parse (&deim_tool_tune, entries, &shared, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (g_strv_length (arguments) != (options.forget ? 0 : 1))
    return deim_tool_misuse ("%s", options.forget ? "--forget takes no MODEL" : "give one MODEL");
  if (options.frames < 1 || options.frames > 100000 || options.batch < 1 || options.batch > 16)
    return deim_tool_misuse ("--frames must be 1 to 100000, --batch 1 to 16");
  if (options.size && !deim_tool_parse_size (options.size, &settings.height, &settings.width))
    return deim_tool_misuse ("--size \"%s\" is not height x width; write 640x640", options.size);
  settings.batch = (guint) options.batch;
  settings.precision = shared.precision;

  deim_tool_catch_interrupt ();
  g_autoptr (DeimModel) model = options.forget ? NULL : deim_tool_load_model (arguments[0], &shared, &error);
  g_autoptr (DeimDevice) device = error ? NULL : deim_device_open (shared.device, &error);
  if (!device)
    return deim_tool_fail ("%s", error->message);
  g_autofree gchar *file = deim_device_get_tuning_file (device);
  return options.forget ? forget (device, file) : tune (&options, device, file, model, &settings);
}

const DeimTool deim_tool_tune = {
  .name = "tune",
  .arguments = "MODEL",
  .summary = "Find the fastest kernels for a model on this device",
  .details =
      "Each convolution can be computed in a few ways, of which a rule takes one. This measures all of them, layer\n"
      "by layer, and keeps those that are faster than the rule's in a file beside the compiled pipelines, which\n"
      "detectors on this device use from then on. What was found holds for the shapes of this model at this\n"
      "size, batch and precision, and for other models with the same ones; it is made anew after an update of\n"
      "the driver or of this program. Keep the device idle meanwhile. Ctrl-C ends it and keeps what was found.\n"
      "Layer: kernel and stride, channels, size of the result (height x width), batch, precision; ms: all layers\n"
      "like it, least of the frames.\n",
  .run = run,
};
