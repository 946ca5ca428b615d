/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* make-model.c - writes the golden Atto network to a file, for tests that need a checkpoint of any content: make-model
 * OUT.safetensors */
#include <stdio.h>

#include "golden-model.h"

int
main (int argc, char **argv)
{
  if (argc != 2) {
    fprintf (stderr, "usage: make-model OUT.safetensors\n");
    return 2;
  }
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = golden_model_new ();
  if (deim_model_save (model, argv[1], FALSE, &error))
    return 0;
  fprintf (stderr, "make-model: %s\n", error->message);
  return 1;
}
