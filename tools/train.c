/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train.c - `deim train`: from annotated pictures to a checkpoint. */
#include "measure.h"
#include "progress.h"
#include "tool.h"
#include "trainer/train.h"

#include <stdio.h>
#include <unistd.h>

/* Where stderr is a file, a line every so often instead of one that is redrawn. */
#define LINE_INTERVAL (60 * G_USEC_PER_SEC)

#define DEFAULT_BATCH     8
#define DEFAULT_DENOISING 100

typedef struct {
  gchar *data, *model, *backbone, *output, *size, *loss, *device;
  gint epochs, batch, denoising, evaluate, threads;
  gint64 seed;
  gdouble lr, lr_end, mosaic, mixup;
  gboolean resume, freeze_norms, half, light, profile;
} Options;

static void
clear_options (Options *options)
{
  g_free (options->data);
  g_free (options->model);
  g_free (options->backbone);
  g_free (options->output);
  g_free (options->size);
  g_free (options->loss);
  g_free (options->device);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, clear_options)

/* -------------------------------------------------------------------- telling */

typedef struct {
  DeimProfile *profile; /* NULL: not asked for */
  gint64 last_line;
  gdouble ms[DEIM_STEP_LAST], processor_ms; /* sums over the steps of this process */
  guint steps;
} Teller;

static gboolean
should_stop (gpointer data)
{
  return deim_tool_is_interrupted ();
}

static void
tell_message (const gchar *text, gpointer data)
{
  deim_progress_clear ();
  g_printerr ("%s: %s\n", g_get_prgname (), text);
}

/* "1 h 20 min" */
static gchar *
format_time (gdouble seconds)
{
  guint64 minutes = (guint64) (seconds / 60 + 0.5);
  if (seconds < 0)
    return g_strdup ("?");
  if (seconds < 90)
    return g_strdup_printf ("%.0f s", seconds);
  return minutes < 90 ? g_strdup_printf ("%u min", (guint) minutes)
                      : g_strdup_printf ("%u h %02u min", (guint) (minutes / 60), (guint) (minutes % 60));
}

static void
tell_progress (const DeimTrainProgress *progress, gpointer data)
{
  Teller *teller = data;
  gint64 now = g_get_monotonic_time ();
  g_autofree gchar *left = format_time (progress->left), *line = NULL;

  if (progress->pictures) {
    line = g_strdup_printf ("epoch %u of %u  evaluation %u of %u  %s left", progress->epoch + 1, progress->epochs,
                            progress->picture, progress->pictures, left);
  } else {
    for (guint i = 0; i < DEIM_STEP_LAST; i++)
      teller->ms[i] += progress->step->ms[i];
    teller->processor_ms += progress->step->processor_ms;
    teller->steps++;
    line =
        g_strdup_printf ("epoch %u of %u  batch %u of %u  loss %.3f (class %.3f box %.3f giou %.3f)  lr %.2g  %s left",
                         progress->epoch + 1, progress->epochs, progress->batch, progress->batches, progress->loss,
                         progress->parts[DEIM_LOSS_CLASS], progress->parts[DEIM_LOSS_BBOX],
                         progress->parts[DEIM_LOSS_GIOU], progress->lr, left);
  }
  deim_progress_update ("%s", line);
  if (!isatty (STDERR_FILENO) && now - teller->last_line >= LINE_INTERVAL) {
    g_printerr ("%s\n", line);
    teller->last_line = now;
  }
}

static void
tell_epoch (const DeimEpochResult *result, gboolean best, gpointer data)
{
  const gdouble *numbers = result->evaluation.numbers;
  g_autofree gchar *time = format_time (result->seconds);

  deim_progress_clear ();
  printf ("epoch %3u  loss %7.3f", result->epoch + 1, result->loss);
  if (numbers[DEIM_EVALUATION_AP] >= 0)
    printf ("  AP %.4f  AP50 %.4f  APs %.4f%s", numbers[DEIM_EVALUATION_AP], numbers[DEIM_EVALUATION_AP50],
            numbers[DEIM_EVALUATION_AP_SMALL], best ? "  best" : "");
  printf ("  %s\n", time);
  fflush (stdout);
}

static void
tell_profile (const GArray *entries, gpointer data)
{
  deim_profile_add_frame (((Teller *) data)->profile, entries);
}

static void
print_profile (const Teller *teller)
{
  static const gchar *const names[DEIM_STEP_LAST] = { "inputs", "forward", "outputs", "loss", "backward", "update" };
  if (!teller->profile || teller->steps == 0)
    return;
  printf ("%u steps, milliseconds each:", teller->steps);
  for (guint i = 0; i < DEIM_STEP_LAST; i++)
    printf ("  %s %.1f", names[i], teller->ms[i] / teller->steps);
  printf ("  processor %.1f\n", teller->processor_ms / teller->steps);
  deim_groups_print ("Op kind", teller->profile->kinds, deim_spread (teller->profile->totals).median);
}

/* -------------------------------------------------------------------- running */

static int
check_usage (const Options *options, gchar **arguments)
{
  if (arguments[0])
    return deim_tool_misuse ("\"%s\" is one argument too many", arguments[0]);
  if (!options->data || !options->model || !options->output)
    return deim_tool_misuse ("%s missing", !options->data    ? "--data DIR"
                                           : !options->model ? "--model PRESET|CHECKPOINT"
                                                             : "--output DIR");
  if (options->epochs != DEIM_NOT_GIVEN && (options->epochs < 1 || options->epochs > 100000))
    return deim_tool_misuse ("--epochs must be 1 to 100000");
  if (options->batch < 1 || options->batch > 1024)
    return deim_tool_misuse ("--batch must be 1 to 1024");
  if (options->denoising < 0 || options->denoising > 1000)
    return deim_tool_misuse ("--denoising must be 0 to 1000");
  if (options->evaluate < 1)
    return deim_tool_misuse ("--evaluate must be 1 or more");
  if (options->threads < 1 || options->threads > 64)
    return deim_tool_misuse ("--threads must be 1 to 64");
  if (options->lr != DEIM_NOT_GIVEN && !(options->lr > 0 && options->lr <= 1))
    return deim_tool_misuse ("--lr must be above 0 and at most 1");
  if (!deim_tool_is_share (options->lr_end) || !deim_tool_is_share (options->mosaic) ||
      !deim_tool_is_share (options->mixup))
    return deim_tool_misuse ("--lr-end, --mosaic and --mixup must be 0 to 1");
  if (options->loss && !g_str_equal (options->loss, "mal") && !g_str_equal (options->loss, "vfl"))
    return deim_tool_misuse ("unknown loss \"%s\"; use mal or vfl", options->loss);
  return DEIM_EXIT_OK;
}

static void
tell_end (const gchar *message)
{
  deim_tool_fail ("%s", message);
}

/* And the output folder, which is the first process's. */
static DeimDevice *
open_device (const Options *options, DeimRanks *ranks, GError **error)
{
  GError *cause = NULL;
  guint here = deim_ranks_count_here (ranks);
  g_auto (GStrv) list = g_strsplit (options->device ? options->device : "", ";", -1);
  guint n = g_strv_length (list);
  g_autoptr (DeimDevice) device = deim_device_open (n ? list[here % n] : options->device, &cause);

  if (device && deim_ranks_get_index (ranks) == 0)
    deim_tool_make_folder (options->output, &cause);
  return deim_ranks_agree (ranks, cause, error) ? g_steal_pointer (&device) : NULL;
}

static gboolean
train_together (const Options *options, guint height, guint width, DeimRanks *ranks, gboolean *ret_finished,
                GError **error)
{
  g_autoptr (DeimProfile) profile = options->profile ? deim_profile_new () : NULL;
  Teller teller = { .profile = profile, .last_line = g_get_monotonic_time () };
  DeimTrainOptions training = {
    .data = options->data,
    .model = options->model,
    .backbone = options->backbone,
    .output = options->output,
    .resume = options->resume,
    .epochs = options->epochs == DEIM_NOT_GIVEN ? 0 : (guint) options->epochs,
    .batch = (guint) options->batch,
    .height = height,
    .width = width,
    .lr = options->lr == DEIM_NOT_GIVEN ? 0 : options->lr,
    .lr_end = options->lr_end,
    .denoising = (guint) options->denoising,
    .vfl = g_strcmp0 (options->loss, "vfl") == 0,
    .freeze_norms = options->freeze_norms,
    .half = options->half,
    .light = options->light,
    .mosaic = options->mosaic,
    .mixup = options->mixup,
    .evaluate = (guint) options->evaluate,
    .threads = (guint) options->threads,
    .seed = (guint64) options->seed,
    .ranks = ranks,
    .watcher = { .stop = should_stop, .data = &teller },
  };
  gboolean first = deim_ranks_get_index (ranks) == 0;
  g_autoptr (DeimDevice) device = open_device (options, ranks, error);

  if (!device)
    return FALSE;
  if (first) { /* it speaks for all */
    training.watcher.message = tell_message;
    training.watcher.progress = tell_progress;
    training.watcher.epoch = tell_epoch;
    training.watcher.profile = profile ? tell_profile : NULL;
    deim_progress_update ("preparing %s for %s", options->model, deim_device_get_name (device));
  }
  if (first && deim_ranks_get_count (ranks) > 1 && g_get_num_processors () == 1 && sysconf (_SC_NPROCESSORS_ONLN) > 1)
    tell_message ("this process may use one processor core alone, which makes loading and a CPU as device very slow; "
                  "start it with \"mpirun --bind-to none\"",
                  NULL);
  deim_tool_catch_interrupt ();
  gboolean good = deim_train (device, &training, ret_finished, error);
  deim_progress_clear ();
  if (first)
    print_profile (&teller);
  return good;
}

static int
train (const Options *options, guint height, guint width)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimRanks) ranks = deim_ranks_join (tell_end, &error);

  gboolean finished, good = ranks && train_together (options, height, width, ranks, &finished, &error);

  if (deim_ranks_get_index (ranks) != 0) /* what happened there happened to all, and is told once */
    return good && finished ? DEIM_EXIT_OK : DEIM_EXIT_FAILED;
  if (!good)
    return deim_tool_fail ("%s", error->message);
  if (!finished)
    return deim_tool_fail ("interrupted; the same command with --resume goes on");
  printf ("%s/best.safetensors, last.safetensors, results.csv, report.html\n", options->output);
  return DEIM_EXIT_OK;
}

static int
run (gchar **argv)
{
  g_auto (Options) options = { .batch = DEFAULT_BATCH,
                               .denoising = DEFAULT_DENOISING,
                               .evaluate = 1,
                               .threads = 1,
                               .epochs = DEIM_NOT_GIVEN,
                               .lr = DEIM_NOT_GIVEN,
                               .lr_end = DEIM_NOT_GIVEN,
                               .mosaic = DEIM_NOT_GIVEN,
                               .mixup = DEIM_NOT_GIVEN };
  const GOptionEntry entries[] = {
    { "data", 0, 0, G_OPTION_ARG_FILENAME, &options.data, "Annotated pictures (\"deim dataset --help\")", "DIR" },
    { "model", 0, 0, G_OPTION_ARG_FILENAME, &options.model,
      "What to train: an architecture (\"deim info --list\"), or a checkpoint to go on from", "PRESET|CHECKPOINT" },
    { "backbone", 0, 0, G_OPTION_ARG_FILENAME, &options.backbone,
      "Begin with the backbone of this checkpoint, the rest of the architecture anew", "CHECKPOINT" },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output, "Folder for checkpoints and results", "DIR" },
    { "resume", 0, 0, G_OPTION_ARG_NONE, &options.resume, "Go on with the training that is in the output folder",
      NULL },
    { "epochs", 'n', 0, G_OPTION_ARG_INT, &options.epochs, "How often all pictures are seen (default: the recipe's)",
      "N" },
    { "batch", 'b', 0, G_OPTION_ARG_INT, &options.batch, "Pictures per step (default: 8)", "N" },
    { "input", 0, 0, G_OPTION_ARG_STRING, &options.size, "Height and width of the input (default: the model's)",
      "HxW" },
    { "lr", 0, 0, G_OPTION_ARG_DOUBLE, &options.lr, "Learning rate (default: the recipe's)", "X" },
    { "lr-end", 0, 0, G_OPTION_ARG_DOUBLE, &options.lr_end,
      "Share of it that is left in the end (default: the recipe's)", "X" },
    { "denoising", 0, 0, G_OPTION_ARG_INT, &options.denoising, "Denoising queries, positive ones (default: 100)", "N" },
    { "loss", 0, 0, G_OPTION_ARG_STRING, &options.loss, "Of classes: mal or vfl (default: mal)", "NAME" },
    { "freeze-norms", 0, 0, G_OPTION_ARG_NONE, &options.freeze_norms,
      "BatchNorm stays as it is in the checkpoint: for few pictures, or small batches", NULL },
    { "half", 0, 0, G_OPTION_ARG_NONE, &options.half,
      "Store activations of backbone and encoder as fp16; all else stays fp32", NULL },
    { "light", 0, 0, G_OPTION_ARG_NONE, &options.light, "Only flip pictures, and what --mosaic and --mixup ask for",
      NULL },
    { "mosaic", 0, 0, G_OPTION_ARG_DOUBLE, &options.mosaic, "Its probability (default: the recipe's)", "P" },
    { "mixup", 0, 0, G_OPTION_ARG_DOUBLE, &options.mixup, "Its probability (default: the recipe's)", "P" },
    { "evaluate", 0, 0, G_OPTION_ARG_INT, &options.evaluate, "Measure AP every so many epochs (default: 1)", "N" },
    { "threads", 0, 0, G_OPTION_ARG_INT, &options.threads, "Threads that load pictures (default: 1)", "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &options.seed, "Another choice of everything random (default: 0)", "S" },
    { "device", 0, 0, G_OPTION_ARG_STRING, &options.device,
      "Vulkan device: index, UUID or part of its name (default: $DEIM_DEVICE, else the best); a list for the processes "
      "of a machine: \"0;1;2;3\"",
      "SELECTOR" },
    { "profile", 0, 0, G_OPTION_ARG_NONE, &options.profile, "Print where the time of a step goes", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  guint height = 0, width = 0;

  if (!deim_tool_parse (&deim_tool_train, entries, NULL, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (options.size && !deim_tool_parse_size (options.size, &height, &width))
    return deim_tool_misuse ("\"%s\" is no size; give HxW, such as 320x320", options.size);
  int status = check_usage (&options, arguments);
  return status == DEIM_EXIT_OK ? train (&options, height, width) : status;
}

const DeimTool deim_tool_train = {
  .name = "train",
  .arguments = "--data DIR --model PRESET|CHECKPOINT --output DIR",
  .summary = "Train or fine-tune a network on annotated pictures",
  .details =
      "Writes to the output folder: best.safetensors and last.safetensors (averaged weights under their official\n"
      "names, with class names, architecture and input size), results.csv, report.html, and state.safetensors, from\n"
      "which --resume goes on to the bit after Ctrl-C, a crash or a kill.\n\n"
      "An architecture begins with random weights; --backbone takes those of the backbone from a checkpoint of any\n"
      "network with the same one, or from the file of a pretrained backbone alone.\n"
      "With a checkpoint of another number of classes, the heads that depend on it begin anew. The recipe (epochs,\n"
      "learning rate, augmentation by epoch) is the architecture's, for training from the beginning; --epochs\n"
      "stretches or shrinks all of it. To fine-tune a checkpoint, give few epochs and a quarter of the recipe's rate,\n"
      "or less.\n"
      "AP is of the averaged weights, on the pictures for validation.\n\n"
      "Several processes, on one machine or more, share each batch: \"mpirun -n 4 deim train ...\".\n\n"
      "Examples:\n"
      "  deim train --data shapes --model deimv2_atto --output run --epochs 30 --input 192x192\n"
      "  deim train --data shapes --model deimv2_atto --backbone deimv2_atto_coco.pth --output run\n"
      "  deim train --data mine --model deimv2_n.pth --output run --epochs 20 --lr 2e-4\n"
      "  deim detect run/best.safetensors photo.jpg --draw drawn\n",
  .run = run,
};
