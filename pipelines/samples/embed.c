/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * embed.c - the engine in a program of one's own, without GStreamer.
 *
 *   embed MODEL PICTURE.ppm...
 *
 *   cc -o embed embed.c $(pkg-config --cflags --libs deim-0)
 *
 * Prints what is found in each picture. PPM is what many tools write (convert in.jpg out.ppm), and what twenty lines
 * can read; a program that has pixels already fills in a DeimFrame and is done. deim.h is the manual.
 */
#include <deim.h>
#include <stdio.h>
#include <string.h>

#define THRESHOLD 0.5f

/* Points @frame to the pixels of a binary PPM of eight bits; free *@ret_file when they are not needed any more. */
static gboolean
read_ppm (const gchar *path, DeimFrame *frame, gchar **ret_file, GError **error)
{
  gsize size;
  guint width, height, most;
  int header = 0;
  if (!g_file_get_contents (path, ret_file, &size, error))
    return FALSE;
  /* "P6", width, height, the largest value, a single space, then the pixels. */
  if (sscanf (*ret_file, "P6 %u %u %u%*1[ \n]%n", &width, &height, &most, &header) != 3 || header == 0 || most != 255 ||
      (guint64) width * height > G_MAXUINT / 3 || size - (gsize) header < (gsize) 3 * width * height) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: this is no binary PPM of eight bits; convert it to one",
                 path);
    g_clear_pointer (ret_file, g_free);
    return FALSE;
  }
  *frame = (DeimFrame){ .format = DEIM_FORMAT_RGB,
                        .width = width,
                        .height = height,
                        .data = { (const guint8 *) *ret_file + header },
                        .stride = { 3 * width } };
  return TRUE;
}

static gboolean
detect (DeimDetector *detector, const gchar *path, GError **error)
{
  DeimFrame frame;
  g_autofree gchar *file = NULL;
  guint64 ticket;
  if (!read_ppm (path, &frame, &file, error))
    return FALSE;

  /* Submitting copies the frame to the device and returns. A program with a stream submits the next one before it
   * collects this one; DeimDetectorOptions.in_flight says how many may be under way. */
  if (!deim_detector_submit (detector, &frame, &ticket, error))
    return FALSE;
  g_autoptr (GArray) found = deim_detector_collect (detector, ticket, error);
  if (!found)
    return FALSE;

  /* Best first. Nothing is left out by score: that is the program's decision. */
  for (guint i = 0; i < found->len; i++) {
    const DeimDetection *one = &g_array_index (found, DeimDetection, i);
    if (one->score < THRESHOLD)
      break;
    printf ("%s: %s %.2f at %.0f,%.0f .. %.0f,%.0f\n", path,
            deim_model_get_label (deim_detector_get_model (detector), one->label), (double) one->score,
            (double) one->x1, (double) one->y1, (double) one->x2, (double) one->y2);
  }
  return TRUE;
}

static int
fail (const GError *error)
{
  /* The message says what is wrong and what to do. */
  fprintf (stderr, "embed: %s\n", error->message);
  return 1;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  if (argc < 3) {
    gboolean help = argc == 2 && strcmp (argv[1], "--help") == 0;
    fprintf (help ? stdout : stderr, "usage: embed MODEL PICTURE.ppm...\n");
    return help ? 0 : 2;
  }

  /* A checkpoint, the best device, and the two together; NULL stands for the usual options. */
  g_autoptr (DeimModel) model = deim_model_load (argv[1], NULL, &error);
  if (!model)
    return fail (error);
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  if (!device)
    return fail (error);
  g_autoptr (DeimDetector) detector = deim_detector_new (model, device, NULL, &error);
  if (!detector)
    return fail (error);
  fprintf (stderr, "embed: %s on %s\n", deim_model_get_info (model)->arch, deim_device_get_name (device));

  for (int i = 2; i < argc; i++)
    if (!detect (detector, argv[i], &error))
      return fail (error);
  return 0;
}
