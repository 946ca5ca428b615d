/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rtsp-server.c - a camera on the loopback: serves one live stream over RTSP until it is told to end or its parent is
 * gone.
 *
 *   rtsp-server [--port N] [LAUNCH]
 *
 * Prints the address, "rtsp://127.0.0.1:PORT/camera", when clients can connect; without --port it takes a free one.
 * LAUNCH is a pipeline in parentheses whose payloader is called pay0, in place of a ball at 25 frames a second:
 *
 *   rtsp-server '( videotestsrc is-live=true ! jpegenc ! rtpjpegpay name=pay0 )'
 *
 * Clients see the same stream at the same time, as they do with a camera.
 */
#include <glib-unix.h>
#include <gst/rtsp-server/rtsp-server.h>
#include <stdio.h>
#include <sys/prctl.h>

#define BALL                                                                                                           \
  "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=25/1 ! "                      \
  "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=1000 ! "                                     \
  "rtph264pay name=pay0 pt=96 config-interval=-1 )"

static gboolean
on_end (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

int
main (int argc, char **argv)
{
  gint port = 0;
  gchar **rest = NULL;
  GOptionEntry entries[] = {
    { "port", 0, 0, G_OPTION_ARG_INT, &port, "The port to listen on; 0 takes a free one", "N" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &rest, NULL, "[LAUNCH]" },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_add_group (options, gst_init_get_option_group ());
  if (!g_option_context_parse (options, &argc, &argv, &error)) {
    fprintf (stderr, "rtsp-server: %s\n", error->message);
    return 2;
  }
  prctl (PR_SET_PDEATHSIG, SIGTERM);

  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GstRTSPServer) server = gst_rtsp_server_new ();
  g_autofree gchar *service = g_strdup_printf ("%d", port);
  gst_rtsp_server_set_address (server, "127.0.0.1");
  gst_rtsp_server_set_service (server, service);
  GstRTSPMediaFactory *factory = gst_rtsp_media_factory_new ();
  gst_rtsp_media_factory_set_launch (factory, rest ? rest[0] : BALL);
  gst_rtsp_media_factory_set_shared (factory, TRUE);
  GstRTSPMountPoints *mounts = gst_rtsp_server_get_mount_points (server);
  gst_rtsp_mount_points_add_factory (mounts, "/camera", factory); /* takes the factory */
  g_object_unref (mounts);
  g_strfreev (rest);
  guint source = gst_rtsp_server_attach (server, NULL);
  if (source == 0) {
    fprintf (stderr, "rtsp-server: port %d of 127.0.0.1 cannot be listened on; take another\n", port);
    return 1;
  }
  printf ("rtsp://127.0.0.1:%d/camera\n", gst_rtsp_server_get_bound_port (server));
  fflush (stdout);
  g_unix_signal_add (SIGINT, on_end, loop);
  g_unix_signal_add (SIGTERM, on_end, loop);
  g_main_loop_run (loop);
  g_source_remove (source);
  return 0;
}
