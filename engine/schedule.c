/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "schedule.h"

/* Whether a stream that may still hand a frame in is expected to do so soon. */
static gboolean
more_may_come (const DeimScheduleState *s)
{
  for (guint i = 0; i < s->n_streams; i++)
    if (s->streams[i].room > 0 && s->streams[i].missed < DEIM_SCHEDULE_PATIENCE)
      return TRUE;
  return FALSE;
}

/* Whether a batch of the @waiting frames is to be made now; if not, *ret_wake is when to ask again. */
static gboolean
is_time (const DeimScheduleState *s, guint waiting, gint64 now, gint64 *ret_wake)
{
  *ret_wake = 0;
  if (waiting == 0 || s->free == 0)
    return FALSE;
  if (waiting >= s->batch)
    return TRUE;
  if (s->running > 0)
    return s->timeout == 0 && waiting >= s->running;
  if (now >= s->since + s->timeout || !more_may_come (s))
    return TRUE;
  *ret_wake = s->since + s->timeout;
  return FALSE;
}

void
deim_schedule_choose (const DeimScheduleState *s, gint64 now, DeimScheduleChoice *ret)
{
  guint waiting = 0;
  for (guint i = 0; i < s->n_streams; i++)
    waiting += s->streams[i].waiting;
  ret->n = 0;
  ret->turn = s->turn;
  if (!is_time (s, waiting, now, &ret->wake))
    return;

  guint wanted = MIN (waiting, s->batch);
  for (guint round = 0; ret->n < wanted; round++)
    for (guint i = 0; i < s->n_streams && ret->n < wanted; i++) {
      guint stream = (s->turn + i) % s->n_streams;
      if (s->streams[stream].waiting <= round)
        continue;
      ret->stream[ret->n++] = stream;
      ret->turn = (stream + 1) % s->n_streams;
    }
}
