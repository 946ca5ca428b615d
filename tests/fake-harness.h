/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-harness.h - deimdetect over fake-deim.c behind a live source: what the tests of its timing have in common. */
#pragma once

#include "element-helpers.h"
#include "fake-deim.h"

#define QUICK_CAPS "video/x-raw,format=RGB,width=64,height=48,framerate=200/1"

/* deimdetect with @properties and the fake model @model, after fake_deim_reset(), behind a live source of latency zero;
 * end with fake_harness_teardown(), which asserts that nothing of the fake library is left. */
GstHarness *fake_harness_setup_live (const gchar *model, const gchar *properties, const gchar *caps);
void fake_harness_teardown (GstHarness *harness);
