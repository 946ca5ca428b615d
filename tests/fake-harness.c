/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-harness.c - see fake-harness.h. */
#include "fake-harness.h"

GstHarness *
fake_harness_setup_live (const gchar *model, const gchar *properties, const gchar *caps)
{
  fake_deim_reset ();
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s %s", model, properties);
  return setup_live_harness (launch, caps, 0);
}

void
fake_harness_teardown (GstHarness *harness)
{
  teardown_harness (harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}
