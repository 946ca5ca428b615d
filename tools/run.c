/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run.c - `deim run`: a raw tensor through the network, raw tensors out, for comparisons. */
#include "progress.h"
#include "tool.h"

#include "formats/npy.h"

#include <stdio.h>

/* More pictures at once than this are a mistake in the shape. */
#define MAX_BATCH 4096

static gboolean
write_output (const gchar *folder, const gchar *name, const gchar *descr, guint n_dims, const gsize *shape,
              gconstpointer data, GError **error)
{
  g_autofree gchar *path = g_build_filename (folder, name, NULL);

  if (!deim_npy_write (path, descr, n_dims, shape, data, error))
    return FALSE;
  printf ("%s  [", path);
  for (guint i = 0; i < n_dims; i++)
    printf ("%s%" G_GSIZE_FORMAT, i ? ", " : "", shape[i]);
  printf ("] %s\n", g_str_equal (descr, "<i8") ? "int64" : "float32");
  return TRUE;
}

static gboolean
run_network (DeimModel *model, DeimDevice *device, DeimPrecision precision, const gfloat *input, const gsize *shape,
             const gchar *folder, GError **error)
{
  const DeimModelInfo *info = deim_model_get_info (model);
  const gsize batch = shape[0], queries = info->num_queries, classes = info->num_classes;

  deim_progress_update ("preparing %s for %s", info->arch, deim_device_get_name (device));
  g_autoptr (DeimNetwork) network =
      deim_network_new (model, device, (guint) batch, (guint) shape[2], (guint) shape[3], precision, error);
  if (!network)
    return FALSE;
  g_autofree gfloat *logits = g_new (gfloat, batch * queries * classes);
  g_autofree gfloat *boxes = g_new (gfloat, batch * queries * 4);
  g_autofree gint64 *tokens = g_new (gint64, batch * queries);
  if (!deim_network_run (network, input, logits, boxes, tokens, error))
    return FALSE;
  deim_progress_clear ();
  return write_output (folder, "logits.npy", "<f4", 3, (const gsize[]){ batch, queries, classes }, logits, error) &&
         write_output (folder, "boxes.npy", "<f4", 3, (const gsize[]){ batch, queries, 4 }, boxes, error) &&
         write_output (folder, "tokens.npy", "<i8", 2, (const gsize[]){ batch, queries }, tokens, error);
}

static int
run (gchar **argv)
{
  g_auto (DeimToolOptions) shared = { 0 };
  g_autofree gchar *input_path = NULL, *folder = NULL;
  const GOptionEntry entries[] = {
    { "input", 0, 0, G_OPTION_ARG_FILENAME, &input_path, "The input tensor, float32 [B,3,H,W]", "X.npy" },
    { "output", 0, 0, G_OPTION_ARG_FILENAME, &folder, "Folder for the results", "DIR" },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;
  gsize shape[DEIM_NPY_MAX_DIMS];
  guint n_dims;

  if (!deim_tool_parse (&deim_tool_run, entries, &shared, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (g_strv_length (arguments) != 1)
    return deim_tool_misuse ("give one MODEL");
  if (!input_path || !folder)
    return deim_tool_misuse ("%s missing", input_path ? "--output DIR" : "--input X.npy");

  g_autofree gfloat *input = deim_npy_read_float (input_path, &n_dims, shape, &error);
  if (!input)
    return deim_tool_fail ("%s", error->message);
  if (n_dims != 4 || shape[1] != 3 || shape[0] < 1 || shape[0] > MAX_BATCH || shape[2] < 1 || shape[2] > 65535 ||
      shape[3] < 1 || shape[3] > 65535) {
    g_autoptr (GString) text = g_string_new (NULL);
    for (guint i = 0; i < n_dims; i++)
      g_string_append_printf (text, "%s%" G_GSIZE_FORMAT, i ? "," : "", shape[i]);
    return deim_tool_fail ("%s has shape [%s]; the network takes [B,3,H,W], red, green and blue in 0..1", input_path,
                           text->str);
  }
  g_autoptr (DeimModel) model = deim_tool_load_model (arguments[0], &shared, &error);
  g_autoptr (DeimDevice) device = model ? deim_device_open (shared.device, &error) : NULL;
  if (!device || !deim_tool_make_folder (folder, &error) ||
      !run_network (model, device, shared.precision, input, shape, folder, &error))
    return deim_tool_fail ("%s", error->message);
  return DEIM_EXIT_OK;
}

const DeimTool deim_tool_run = {
  .name = "run",
  .arguments = "MODEL --input X.npy --output DIR",
  .summary = "Run the bare network on a tensor",
  .details = "Input: float32 [B,3,H,W], red, green, blue in 0..1; H and W multiples of 32, which may differ from the\n"
             "checkpoint's usual size.\n\n"
             "Output, rows in selection order (descending encoder score):\n"
             "  logits.npy  float32 [B,Q,C]  before the sigmoid\n"
             "  boxes.npy   float32 [B,Q,4]  centre x, centre y, width, height, 0..1 of the picture\n"
             "  tokens.npy  int64   [B,Q]    the encoder token each query came from, finest level first,\n"
             "                               row by row inside a level\n",
  .run = run,
};
