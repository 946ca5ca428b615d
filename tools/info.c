/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* info.c - `deim info`: what a checkpoint is, what a device decided, which architectures there are. */
#include "json.h"
#include "tool.h"

#include <stdio.h>

typedef struct {
  gboolean device, list, json;
  gchar *selector; /* NULL: the default device */
} InfoOptions;

/* The parser hands no user data to a callback of a main entry. */
static InfoOptions options;

static gboolean
take_device (const gchar *name, const gchar *value, gpointer data, GError **error)
{
  g_free (options.selector);
  options.device = TRUE;
  options.selector = g_strdup (value);
  return TRUE;
}

static int
show_device (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDevice) device = deim_device_open (options.selector, &error);

  if (!device)
    return deim_tool_fail ("%s", error->message);
  g_autofree gchar *report = deim_device_describe (device);
  printf ("%s%s", report, g_str_has_suffix (report, "\n") ? "" : "\n");
  return DEIM_EXIT_OK;
}

static void
print_json (DeimModel *model, const DeimModelInfo *info, const gchar *const *notes)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  deim_json_add_string (builder, "arch", info->arch);
  deim_json_add_string (builder, "family", info->family);
  deim_json_add_string (builder, "size", info->size);
  deim_json_add_int (builder, "classes", info->num_classes);
  deim_json_add_int (builder, "queries", info->num_queries);
  deim_json_add_int (builder, "input_height", info->input_height);
  deim_json_add_int (builder, "input_width", info->input_width);
  deim_json_add_int (builder, "parameters", (gint64) info->parameters);
  deim_json_add_number (builder, "gflops", info->gflops);
  json_builder_set_member_name (builder, "labels");
  json_builder_begin_array (builder);
  for (guint i = 0; i < info->num_classes; i++)
    json_builder_add_string_value (builder, deim_model_get_label (model, i));
  json_builder_end_array (builder);
  json_builder_set_member_name (builder, "notes");
  json_builder_begin_array (builder);
  for (guint i = 0; notes && notes[i]; i++)
    json_builder_add_string_value (builder, notes[i]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  g_autofree gchar *text = deim_json_builder_text (builder);
  puts (text);
}

static void
print_text (DeimModel *model, const DeimModelInfo *info, const gchar *const *notes)
{
  printf ("Architecture  %s\n", info->arch);
  printf ("Family        %s\n", info->family);
  printf ("Size          %s\n", info->size);
  printf ("Classes       %u", info->num_classes);
  for (guint i = 0; i < MIN (3, info->num_classes); i++)
    printf ("%s%s", i ? ", " : " (", deim_model_get_label (model, i));
  printf ("%s\n", info->num_classes > 3 ? ", ...)" : ")");
  printf ("Queries       %u\n", info->num_queries);
  printf ("Input         %u x %u (height x width)\n", info->input_height, info->input_width);
  printf ("Parameters    %.3f million\n", (gdouble) info->parameters / 1e6);
  printf ("Arithmetic    %.2f GFLOPs a frame (a multiply-add is two)\n", info->gflops);
  for (guint i = 0; notes && notes[i]; i++)
    printf ("%-13s %s\n", i ? "" : "Decided", notes[i]);
}

static int
show_model (const gchar *path, const DeimToolOptions *shared)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = deim_tool_read_model (path, shared, &error);

  if (!model)
    return deim_tool_fail ("%s", error->message);
  if (options.json)
    print_json (model, deim_model_get_info (model), deim_model_get_notes (model));
  else
    print_text (model, deim_model_get_info (model), deim_model_get_notes (model));
  return DEIM_EXIT_OK;
}

static void
list_archs (void)
{
  const gchar *const *names = deim_arch_list ();

  printf ("%-22s %-14s %-9s %-14s %-9s %7s %7s\n", "--arch", "family", "size", "backbone", "input", "queries",
          "classes");
  for (guint i = 0; names[i]; i++) {
    DeimArchInfo info;
    deim_arch_get_info (names[i], &info);
    g_autofree gchar *input = g_strdup_printf ("%ux%u", info.input_height, info.input_width);
    printf ("%-22s %-14s %-9s %-14s %-9s %7u %7u\n", names[i], info.family, info.size, info.backbone, input,
            info.num_queries, info.num_classes);
  }
}

static int
run (gchar **argv)
{
  g_auto (DeimToolOptions) shared = { 0 };
  const GOptionEntry entries[] = {
    { "device", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK, take_device,
      "Describe the Vulkan device and every decision about it; SELECTOR: index, UUID or part of its name", "SELECTOR" },
    { "list", 0, 0, G_OPTION_ARG_NONE, &options.list,
      "List the networks: what --arch takes, and each one's usual values", NULL },
    { "arch", 0, 0, G_OPTION_ARG_STRING, &shared.arch, "Take the checkpoint for this architecture", "NAME" },
    { "labels", 0, 0, G_OPTION_ARG_FILENAME, &shared.labels, "Class names from this file, one a line", "FILE" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "The model's facts as one line of JSON", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  int status = DEIM_EXIT_OK;

  if (!deim_tool_parse (&deim_tool_info, entries, NULL, argv, &arguments)) {
    status = DEIM_EXIT_USAGE;
  } else if (g_strv_length (arguments) > 1) {
    status = deim_tool_misuse ("more than one model; give one MODEL");
  } else if (!arguments[0] && !options.device && !options.list) {
    status = deim_tool_misuse ("nothing to tell about; give a MODEL, --device or --list");
  } else {
    if (options.list)
      list_archs ();
    if (arguments[0])
      status = show_model (arguments[0], &shared);
    if (options.device && status == DEIM_EXIT_OK)
      status = show_device ();
  }
  g_clear_pointer (&options.selector, g_free);
  return status;
}

const DeimTool deim_tool_info = {
  .name = "info",
  .arguments = "[MODEL]",
  .summary = "Tell what a model or a device is, and what was decided about it",
  .details =
      "MODEL is a .safetensors file, a PyTorch checkpoint (.pth) or an ONNX export. The columns of --list: size of\n"
      "the input (height x width), queries and classes are those of the published checkpoints; other numbers work\n"
      "too.\n\n"
      "Examples:\n"
      "  deim info deimv2_atto.pth\n"
      "  deim info --device            the device that would be used\n"
      "  deim info --device=1          the second one\n",
  .run = run,
};
