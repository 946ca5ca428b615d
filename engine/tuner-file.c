/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tuner-file.c - where a tuning lies between runs. */
#include "tuner.h"

#include <errno.h>
#include <glib/gstdio.h>

#include "device.h"
#include "error.h"

#define SUFFIX ".tuned"

DeimTuning *
deim_tuner_load (DeimGpu *gpu)
{
  g_autofree gchar *path = deim_gpu_cache_file (gpu, SUFFIX), *text = NULL;
  g_autofree gchar *fingerprint = deim_gpu_fingerprint (gpu);
  g_autoptr (GError) problem = NULL;
  DeimTuning *tuning = NULL;
  if (!path || !g_file_get_contents (path, &text, NULL, &problem)) {
    if (problem && !g_error_matches (problem, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      deim_warning ("the tuning cannot be read, layers run untuned: %s", problem->message);
    return NULL;
  }
  switch (deim_tuning_parse (text, fingerprint, &tuning)) {
  case DEIM_TUNING_VALID:
    deim_info ("%s: %u layers are tuned", path, deim_tuning_count (tuning));
    break;
  case DEIM_TUNING_FOREIGN:
    deim_info ("%s is of another driver, build or choice of features, and not used; \"deim tune\" makes a new one",
               path);
    break;
  case DEIM_TUNING_DAMAGED:
    deim_warning ("%s is damaged, and not used; run \"deim tune\" again, or \"deim tune --forget\"", path);
    break;
  }
  return tuning;
}

gboolean
deim_tuner_save (DeimGpu *gpu, const DeimTuning *tuning, GError **error)
{
  g_autofree gchar *path = deim_gpu_cache_file (gpu, SUFFIX), *fingerprint = deim_gpu_fingerprint (gpu);
  g_autofree gchar *text = deim_tuning_to_text (tuning, fingerprint);
  g_autoptr (GError) problem = NULL;
  if (path && g_file_set_contents (path, text, -1, &problem))
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "the tuning cannot be written: %s",
               problem ? problem->message : "there is no folder for it");
  return FALSE;
}

gchar *
deim_device_get_tuning_file (DeimDevice *device)
{
  return deim_gpu_cache_file (deim_device_get_gpu (device), SUFFIX);
}

gboolean
deim_device_forget_tuning (DeimDevice *device, GError **error)
{
  g_autofree gchar *path = deim_device_get_tuning_file (device);
  if (!path || g_unlink (path) == 0 || errno == ENOENT)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s cannot be removed: %s", path, g_strerror (errno));
  return FALSE;
}
