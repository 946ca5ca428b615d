/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start.c - cold and warm starts. A cache that the process itself filled would be no cold one: hence other processes.
 */
#include "start.h"

#include <gio/gio.h>

#define SELF "/proc/self/exe"

/* Where drivers keep compiled shaders if not in $XDG_CACHE_HOME. */
static const gchar *const cache_variables[] = { "MESA_SHADER_CACHE_DIR", "MESA_GLSL_CACHE_DIR" };

static void
remove_folder (GFile *folder)
{
  g_autoptr (GFileEnumerator) files =
      g_file_enumerate_children (folder, G_FILE_ATTRIBUTE_STANDARD_NAME "," G_FILE_ATTRIBUTE_STANDARD_TYPE,
                                 G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL, NULL);
  GFileInfo *info;
  GFile *child;
  while (files && g_file_enumerator_iterate (files, &info, &child, NULL, NULL) && info) {
    if (g_file_info_get_file_type (info) == G_FILE_TYPE_DIRECTORY)
      remove_folder (child);
    else
      g_file_delete (child, NULL, NULL);
  }
  g_file_delete (folder, NULL, NULL);
}

/* One start with caches in @folder. */
static gboolean
run_once (const gchar *const *argv, const gchar *folder, gdouble *ret_ms, GError **error)
{
  g_autoptr (GPtrArray) line = g_ptr_array_new ();
  g_ptr_array_add (line, (gpointer) SELF);
  g_ptr_array_add (line, (gpointer) argv[0]);
  g_ptr_array_add (line, (gpointer) DEIM_START_ARGUMENT); /* here, since "--" may follow */
  for (guint i = 1; argv[i]; i++)
    g_ptr_array_add (line, (gpointer) argv[i]);
  g_ptr_array_add (line, NULL);

  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_subprocess_launcher_setenv (launcher, "XDG_CACHE_HOME", folder, TRUE);
  g_subprocess_launcher_setenv (launcher, "__GL_SHADER_DISK_CACHE_PATH", folder, TRUE); /* NVIDIA's driver */
  for (guint i = 0; i < G_N_ELEMENTS (cache_variables); i++)
    g_subprocess_launcher_unsetenv (launcher, cache_variables[i]);
  g_autoptr (GSubprocess) child = g_subprocess_launcher_spawnv (launcher, (const gchar *const *) line->pdata, error);
  g_autofree gchar *text = NULL;
  if (!child || !g_subprocess_communicate_utf8 (child, NULL, NULL, &text, NULL, error) ||
      !g_subprocess_wait_check (child, NULL, error)) {
    g_prefix_error (error, "the start that was to be measured failed: ");
    return FALSE;
  }
  *ret_ms = g_ascii_strtod (text, NULL);
  if (*ret_ms > 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "the start that was to be measured printed no time");
  return FALSE;
}

gboolean
deim_start_measure (const gchar *const *argv, DeimStart *ret_start, GError **error)
{
  gdouble cold, second, warm;
  g_autofree gchar *folder = g_dir_make_tmp ("deim-start-XXXXXX", error);
  if (!folder)
    return FALSE;
  gboolean ok = run_once (argv, folder, &cold, error) && run_once (argv, folder, &second, error) &&
                run_once (argv, folder, &warm, error);
  g_autoptr (GFile) file = g_file_new_for_path (folder);
  remove_folder (file);
  if (ok)
    *ret_start = (DeimStart){ cold, warm };
  return ok;
}
