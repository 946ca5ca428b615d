/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* passes.c - the passes in their order. */
#include "passes.h"

void
deim_graph_optimise (DeimGraph *graph, const DeimOp *slice)
{
  deim_graph_fold (graph);
  deim_graph_fuse (graph);
  deim_graph_merge (graph, slice);
  deim_graph_fuse (graph); /* what several convolutions read, one reads now */
}
