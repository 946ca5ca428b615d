/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * parse-launch.c - what gst-launch-1.0 does before it runs a pipeline: makes the elements, sets the properties, links
 * the pads. Fails as it would where one of these does, and runs nothing.
 *
 *   parse-launch WORD...
 */
#include <gst/gst.h>
#include <stdio.h>

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  gst_init (&argc, &argv);
  GstElement *pipeline = gst_parse_launchv_full ((const gchar **) argv + 1, NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  gst_clear_object (&pipeline);
  if (error)
    fprintf (stderr, "parse-launch: %s\n", error->message);
  return error ? 1 : 0;
}
