/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parity-sets.c - the golden sets as cases of a test program. */
#include "parity.h"

#include <string.h>

typedef struct {
  gchar *folder, *name;
  ParitySetFunc func;
} SetCase;

static void
set_case_free (gpointer data)
{
  SetCase *set_case = data;
  g_free (set_case->folder);
  g_free (set_case->name);
  g_free (set_case);
}

static void
run_case (gconstpointer data)
{
  const SetCase *set_case = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GoldenSet) set = golden_set_open (set_case->folder, set_case->name, &error);
  g_assert_no_error (error);
  set_case->func (set);
}

static void
skip_sets (gconstpointer data)
{
  g_test_skip ("the golden data is not here (../shared)");
}

static void
fail_sets (gconstpointer data)
{
  g_test_message ("no golden set begins with \"%s\"", (const gchar *) data);
  g_test_fail ();
}

static void
add_sets (const gchar *path, const gchar *folder, const gchar *prefix, ParitySetFunc func)
{
  g_auto (GStrv) names = golden_list (folder, prefix);
  gboolean real = *prefix && g_str_has_prefix ("real", prefix); /* test-parity's name for real weights */
  if (!*names && !real) {
    g_autofree gchar *none = g_strdup_printf ("/%s/none/%s", path, prefix);
    g_test_add_data_func_full (none, g_strdup (prefix), fail_sets, g_free);
  }
  for (gchar **name = names; *name; name++) {
    SetCase *set_case = g_new (SetCase, 1);
    *set_case = (SetCase){ g_strdup (folder), g_strdup (*name), func };
    g_autofree gchar *case_path = g_strdup_printf ("/%s/%s", path, *name);
    g_test_add_data_func_full (case_path, set_case, run_case, set_case_free);
  }
}

void
parity_add_sets (const gchar *path, const gchar *prefixes, ParitySetFunc func)
{
  g_autofree gchar *folder = prefixes ? golden_folder () : golden_small_folder ();
  if (!folder) {
    g_autofree gchar *none = g_strdup_printf ("/%s/none", path);
    g_test_add_data_func (none, NULL, skip_sets);
    return;
  }
  if (!prefixes || !*prefixes) {
    add_sets (path, folder, "", func);
    return;
  }
  g_auto (GStrv) list = g_strsplit (prefixes, ",", -1);
  for (gchar **prefix = list; *prefix; prefix++)
    add_sets (path, folder, *prefix, func);
}

gchar *
parity_take_option (gint *argc, gchar **argv, const gchar *name, gboolean has_value)
{
  for (gint i = 1; i < *argc; i++)
    if (g_str_equal (argv[i], name) && (!has_value || i + 1 < *argc)) {
      gint used = has_value ? 2 : 1;
      gchar *value = argv[i + used - 1];
      memmove (argv + i, argv + i + used, (gsize) (*argc - i - used + 1) * sizeof *argv);
      *argc -= used;
      return value;
    }
  return NULL;
}
