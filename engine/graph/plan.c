/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c - greedy by size: simple, and within a few percent of the best for networks like these. */
#include "plan.h"

static gint
larger_first (gconstpointer a, gconstpointer b)
{
  const DeimPlanBlock *x = *(DeimPlanBlock *const *) a, *y = *(DeimPlanBlock *const *) b;
  if (x->size != y->size)
    return x->size > y->size ? -1 : 1;
  if (x->first != y->first)
    return x->first < y->first ? -1 : 1;
  return x < y ? -1 : 1;
}

/* Keeps @placed in the order of offsets: graphs of training have thousands of blocks, too many to sort each time. */
static void
insert (GPtrArray *placed, DeimPlanBlock *block)
{
  guint low = 0, high = placed->len;
  while (low < high) {
    guint middle = (low + high) / 2;
    if (((DeimPlanBlock *) g_ptr_array_index (placed, middle))->offset <= block->offset)
      low = middle + 1;
    else
      high = middle;
  }
  g_ptr_array_insert (placed, (gint) low, block);
}

gsize
deim_plan_solve (DeimPlanBlock *blocks, guint n, gsize alignment)
{
  g_autoptr (GPtrArray) order = g_ptr_array_sized_new (n);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (order, &blocks[i]);
  g_ptr_array_sort (order, larger_first);

  g_autoptr (GPtrArray) placed = g_ptr_array_sized_new (n); /* by offset */
  gsize arena = 0;
  for (guint i = 0; i < n; i++) {
    DeimPlanBlock *block = g_ptr_array_index (order, i);
    gsize offset = 0;
    for (guint k = 0; k < placed->len; k++) {
      const DeimPlanBlock *other = g_ptr_array_index (placed, k);
      if (other->last < block->first || block->last < other->first)
        continue;
      if (offset + block->size <= other->offset)
        break;
      gsize after = (other->offset + other->size + alignment - 1) / alignment * alignment;
      offset = MAX (offset, after);
    }
    block->offset = offset;
    arena = MAX (arena, offset + block->size);
    insert (placed, block);
  }
  return (arena + alignment - 1) / alignment * alignment;
}
