/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-stages.c - see fake-stages.h. */
#include "fake-stages.h"

static GMutex lock;
static GCond changed;
static gint failure[FAKE_N_STAGES] = { -1, -1, -1, -1, -1 };
static gint held = -1;     /* the stage */
static gboolean is_inside; /* somebody is in it */

void
fake_deim_set_failure_at (FakeStage stage, gint code)
{
  g_mutex_lock (&lock);
  failure[stage] = code;
  g_mutex_unlock (&lock);
}

void
fake_deim_set_failure (gint code)
{
  fake_deim_set_failure_at (FAKE_COLLECT, code);
}

static void
set_held (gint stage)
{
  g_mutex_lock (&lock);
  held = stage;
  g_cond_broadcast (&changed);
  g_mutex_unlock (&lock);
}

void
fake_deim_hold_stage (FakeStage stage)
{
  set_held ((gint) stage);
}

void
fake_deim_release_stage (void)
{
  set_held (-1);
}

void
fake_deim_await_held (void)
{
  g_mutex_lock (&lock);
  while (!is_inside)
    g_cond_wait (&changed, &lock);
  g_mutex_unlock (&lock);
}

void
fake_stages_reset (void)
{
  g_mutex_lock (&lock);
  for (guint i = 0; i < FAKE_N_STAGES; i++)
    failure[i] = -1;
  held = -1;
  g_mutex_unlock (&lock);
}

gboolean
fake_stages_enter (FakeStage stage, GError **error)
{
  static const gchar *const names[] = { "loading", "opening", "making", "submitting", "collecting" };
  g_mutex_lock (&lock);
  if (held == (gint) stage && !is_inside) {
    is_inside = TRUE;
    g_cond_broadcast (&changed);
    while (held == (gint) stage)
      g_cond_wait (&changed, &lock);
    is_inside = FALSE;
  }
  gint code = failure[stage];
  g_mutex_unlock (&lock);
  if (code >= 0)
    g_set_error (error, DEIM_ERROR, code, "%s was told to fail", names[stage]);
  return code < 0;
}
