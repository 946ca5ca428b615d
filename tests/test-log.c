/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-log.c - where the library's messages go: to the program where it wants them, else to a plugin, else to GLib. */
#include "engine/deim.h"
#include "engine/error.h"

static gchar *last[2]; /* what the program, and what the plugin, was told */

static void
keep (GLogLevelFlags level, const gchar *message, gpointer data)
{
  g_assert_cmpint (level, ==, G_LOG_LEVEL_WARNING);
  g_free (*(gchar **) data);
  *(gchar **) data = g_strdup (message);
}

static void
assert_told (const gchar *program, const gchar *plugin)
{
  deim_warning ("number %d", 7);
  g_assert_cmpstr (last[0], ==, program);
  g_assert_cmpstr (last[1], ==, plugin);
  g_clear_pointer (&last[0], g_free);
  g_clear_pointer (&last[1], g_free);
}

static void
assert_glib (void)
{
  g_test_expect_message ("deim", G_LOG_LEVEL_WARNING, "number 7");
  assert_told (NULL, NULL);
  g_test_assert_expected_messages ();
}

/* Whichever is set first, the program has the word. */
static void
test_order (void)
{
  assert_glib ();
  deim_set_log_func (keep, &last[0]);
  deim_set_default_log_func (keep, &last[1]); /* the plugin is loaded */
  assert_told ("number 7", NULL);
  deim_set_log_func (NULL, NULL);
  assert_told (NULL, "number 7");
  deim_set_log_func (keep, &last[0]);
  assert_told ("number 7", NULL);
  deim_set_default_log_func (NULL, NULL);
  assert_told ("number 7", NULL);
  deim_set_log_func (NULL, NULL);
  assert_glib ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/log/order", test_order);
  return g_test_run ();
}
