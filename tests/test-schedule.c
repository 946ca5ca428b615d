/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-schedule.c - the policy of batches (engine/schedule.h): each rule by an example, then what must hold whatever
 * happens, in simulated time: nobody starves, an idle device does not wait, a stream that stalls delays nobody for
 * long.
 */
#include "engine/schedule.h"

#define MAX_STREAMS 24

static guint
choose (DeimScheduleState *s, gint64 now, DeimScheduleChoice *ret)
{
  deim_schedule_choose (s, now, ret);
  return ret->n;
}

/* ---------------------------------------------------------------- examples */

static void
test_idle_device (void)
{
  DeimScheduleStream streams[2] = { { .room = 2 }, { .waiting = 1, .room = 1 } };
  DeimScheduleState s = { .batch = 4, .free = 2, .n_streams = 2, .streams = streams };
  DeimScheduleChoice choice;
  g_assert_cmpuint (choose (&s, 5, &choice), ==, 1); /* the other stream may stall for all that is known */
  g_assert_cmpuint (choice.stream[0], ==, 1);
  g_assert_cmpuint (choice.turn, ==, 0);

  streams[1].waiting = 0;
  g_assert_cmpuint (choose (&s, 5, &choice), ==, 0);
  g_assert_cmpint (choice.wake, ==, 0);
}

static void
test_busy_device (void)
{
  DeimScheduleStream streams[2] = { { .waiting = 1, .room = 1 }, { .waiting = 1 } };
  DeimScheduleState s = { .batch = 4, .free = 1, .running = 3, .n_streams = 2, .streams = streams };
  DeimScheduleChoice choice;
  g_assert_cmpuint (choose (&s, 0, &choice), ==, 0); /* two frames gather while three are computed */
  g_assert_cmpint (choice.wake, ==, 0);              /* the end of the batch is what is waited for */
  streams[1].waiting = 2;
  g_assert_cmpuint (choose (&s, 0, &choice), ==, 3); /* as many as are running: they follow at once */
  s.timeout = 1000;
  g_assert_cmpuint (choose (&s, 10000, &choice), ==, 0); /* told to wait, it makes full batches */
  streams[0].waiting = 2;
  g_assert_cmpuint (choose (&s, 0, &choice), ==, 4);
  s.free = 0;
  g_assert_cmpuint (choose (&s, 0, &choice), ==, 0);
}

static void
test_timeout (void)
{
  DeimScheduleStream streams[3] = { { .waiting = 1, .room = 1 }, { .room = 2 }, { .room = 2 } };
  DeimScheduleState s = { .batch = 3, .timeout = 500, .free = 2, .since = 100, .n_streams = 3, .streams = streams };
  DeimScheduleChoice choice;
  g_assert_cmpuint (choose (&s, 599, &choice), ==, 0);
  g_assert_cmpint (choice.wake, ==, 600);
  g_assert_cmpuint (choose (&s, 600, &choice), ==, 1); /* a partial batch */

  streams[1] = (DeimScheduleStream){ .waiting = 1 };
  streams[0].room = 0;
  g_assert_cmpuint (choose (&s, 101, &choice), ==, 0); /* the third may come */
  streams[2].missed = DEIM_SCHEDULE_PATIENCE;
  g_assert_cmpuint (choose (&s, 101, &choice), ==, 2); /* but it has not for long */
  streams[2] = (DeimScheduleStream){ .waiting = 1, .room = 1 };
  g_assert_cmpuint (choose (&s, 101, &choice), ==, 3); /* full */
}

static void
test_round_robin (void)
{
  DeimScheduleStream streams[3] = { { .waiting = 9 }, { .waiting = 1 }, { .waiting = 2 } };
  DeimScheduleState s = { .batch = 4, .free = 2, .turn = 2, .n_streams = 3, .streams = streams };
  DeimScheduleChoice choice;
  g_assert_cmpuint (choose (&s, 0, &choice), ==, 4);
  static const guint first[] = { 2, 0, 1, 2 };
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (choice.stream[i], ==, first[i]);
  g_assert_cmpuint (choice.turn, ==, 0);

  /* A stream alone may fill a batch by itself. */
  streams[1].waiting = streams[2].waiting = 0;
  s.turn = choice.turn;
  g_assert_cmpuint (choose (&s, 0, &choice), ==, 4);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (choice.stream[i], ==, 0);
}

/* -------------------------------------------------------------- simulation */

/* Streams with so many frames in flight each; a device that takes `cost` and `per_frame` for a batch, two at a time. */
typedef struct {
  DeimScheduleState state;
  DeimScheduleStream stream[MAX_STREAMS];
  guint batches[2], n_batches; /* frames of those on the device, oldest first */
  guint owner[2][DEIM_MAX_BATCH];
  gint64 ends;                                 /* of the oldest */
  gint64 now, idle_since, oldest[MAX_STREAMS]; /* since when its first waiting frame waits */
  guint others[MAX_STREAMS];                   /* frames of others that were taken meanwhile */
  guint64 served[MAX_STREAMS];
  gint64 cost, per_frame;
} World;

static void
world_init (World *w, guint n, guint batch, gint64 timeout, guint in_flight)
{
  *w = (World){ .cost = 100, .per_frame = 50 };
  w->state = (DeimScheduleState){ .batch = batch, .timeout = timeout, .n_streams = n };
  for (guint i = 0; i < n; i++)
    w->stream[i].room = in_flight;
}

static void
hand_in (World *w, guint i)
{
  g_assert_cmpuint (w->stream[i].room, >, 0);
  w->stream[i].room--;
  if (w->stream[i].waiting++ == 0) {
    w->oldest[i] = w->now;
    w->others[i] = 0;
  }
}

static void
take (World *w, const DeimScheduleChoice *choice)
{
  gboolean came[MAX_STREAMS] = { FALSE };
  guint n = w->state.n_streams;
  if (w->n_batches == 0)
    w->ends = w->now + w->cost + choice->n * w->per_frame;
  w->batches[w->n_batches] = choice->n;
  for (guint k = 0; k < choice->n; k++) {
    guint i = choice->stream[k];
    g_assert_cmpuint (i, <, n);
    g_assert_cmpuint (w->stream[i].waiting, >, 0);
    w->owner[w->n_batches][k] = i;
    for (guint j = 0; j < n; j++)
      if (j != i && w->stream[j].waiting > 0)
        g_assert_cmpuint (++w->others[j], <=, n - 1); /* rule 1 */
    w->stream[i].waiting--;
    w->others[i] = 0;
    w->served[i]++;
    came[i] = TRUE;
  }
  for (guint i = 0; i < n; i++)
    w->stream[i].missed = came[i] ? 0 : w->stream[i].missed + 1;
  w->n_batches++;
  w->state.turn = choice->turn;
}

/* Lets the policy act; returns when it wants to be asked again. */
static gint64
act (World *w)
{
  for (;;) {
    DeimScheduleState *s = &w->state;
    guint waiting = 0;
    s->streams = w->stream;
    s->free = 2 - w->n_batches;
    s->running = w->n_batches ? w->batches[0] + (w->n_batches > 1 ? w->batches[1] : 0) : 0;
    s->since = G_MAXINT64;
    for (guint i = 0; i < s->n_streams; i++) {
      waiting += w->stream[i].waiting;
      if (w->stream[i].waiting)
        s->since = MIN (s->since, w->oldest[i]);
    }
    s->since = MAX (s->since, w->idle_since);
    DeimScheduleChoice choice;
    if (choose (s, w->now, &choice) == 0) {
      if (waiting > 0 && w->n_batches == 0) { /* rule 2: an idle device waits for a reason and not for long */
        g_assert_cmpint (choice.wake, >, w->now);
        g_assert_cmpint (choice.wake, <=, w->idle_since + s->timeout > w->now ? G_MAXINT64 : w->now + s->timeout);
      }
      return choice.wake;
    }
    g_assert_cmpuint (choice.n, ==, MIN (waiting, s->batch));
    take (w, &choice);
  }
}

/* The oldest batch ends. Its frames' places are free again. */
static void
end_batch (World *w)
{
  w->now = w->ends;
  for (guint k = 0; k < w->batches[0]; k++)
    w->stream[w->owner[0][k]].room++;
  w->batches[0] = w->batches[1];
  memcpy (w->owner[0], w->owner[1], sizeof w->owner[0]);
  if (--w->n_batches > 0)
    w->ends = w->now + w->cost + w->batches[0] * w->per_frame;
  else
    w->idle_since = w->now;
}

/* Whatever comes when: the assertions in act() and take() hold, and every frame is computed. */
static void
test_random (void)
{
  for (guint seed = 0; seed < 200; seed++) {
    g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
    World w;
    guint n = (guint) g_rand_int_range (rand, 1, MAX_STREAMS);
    guint64 handed_in = 0, computed = 0;
    world_init (&w, n, (guint) g_rand_int_range (rand, 1, DEIM_MAX_BATCH + 1),
                seed % 3 ? 0 : g_rand_int_range (rand, 1, 400), (guint) g_rand_int_range (rand, 1, 4));
    gint64 wake = 0;
    for (guint step = 0; step < 2000; step++) {
      gint64 next = w.now + g_rand_int_range (rand, 0, 60);
      if (w.n_batches && w.ends <= next)
        end_batch (&w);
      else if (wake && wake <= next)
        w.now = wake;
      else {
        w.now = next;
        guint i = (guint) g_rand_int_range (rand, 0, (gint32) n);
        if (w.stream[i].room) {
          hand_in (&w, i);
          handed_in++;
        }
      }
      wake = act (&w);
    }
    while (w.n_batches || wake) {
      if (w.n_batches)
        end_batch (&w);
      else
        w.now = wake;
      wake = act (&w);
    }
    for (guint i = 0; i < n; i++)
      computed += w.served[i];
    g_assert_cmpuint (computed, ==, handed_in);
  }
}

/* One stream hands in as fast as it may, the others at leisure: theirs are computed all the same, and it gets the rest.
 */
static void
test_greedy_stream (void)
{
  World w;
  world_init (&w, 4, 2, 0, 16);
  guint64 handed_in = 0;
  for (guint step = 0; step < 3000; step++) {
    while (w.stream[0].room)
      hand_in (&w, 0);
    guint i = 1 + step % 3;
    if (step % 4 == 0 && w.stream[i].room) {
      hand_in (&w, i);
      handed_in++;
    }
    act (&w);
    end_batch (&w);
  }
  guint64 others = w.served[1] + w.served[2] + w.served[3];
  g_assert_cmpuint (others, >=, handed_in - 6);
  g_assert_cmpuint (w.served[0], >, 2 * 3000 - others - 16);
}

/* Four streams in step, told to wait for a full batch; one stalls for good. It costs the others a few timeouts, once.
 */
static void
test_stalled_stream (void)
{
  World w;
  const gint64 timeout = 1000;
  world_init (&w, 4, 4, timeout, 1);
  gint64 lost = 0;
  for (guint round = 0; round < 100; round++) {
    for (guint i = 0; i < (round < 10 ? 4 : 3); i++)
      hand_in (&w, i);
    gint64 start = w.now, wake = act (&w);
    if (wake) {
      w.now = wake;
      act (&w);
    }
    g_assert_cmpuint (w.n_batches, ==, 1);
    g_assert_cmpuint (w.batches[0], ==, round < 10 ? 4 : 3);
    lost += w.now - start;
    end_batch (&w);
  }
  g_assert_cmpint (lost, ==, DEIM_SCHEDULE_PATIENCE * timeout);

  /* When it comes back it is waited for again. */
  hand_in (&w, 3);
  g_assert_cmpint (act (&w), >, 0);
}

/* Under load batches grow by themselves until they are full; without load each frame goes alone. */
static void
test_batches_follow_the_load (void)
{
  World w;
  world_init (&w, 8, 8, 0, 2);
  guint64 batches = 0, frames = 0;
  for (guint step = 0; step < 200; step++) {
    for (guint i = 0; i < 8; i++)
      while (w.stream[i].room)
        hand_in (&w, i);
    act (&w);
    if (step >= 10) {
      batches++;
      frames += w.batches[0];
    }
    end_batch (&w);
  }
  g_assert_cmpuint (frames, ==, 8 * batches);

  world_init (&w, 8, 8, 0, 2);
  for (guint step = 0; step < 50; step++) {
    hand_in (&w, step % 8);
    act (&w);
    g_assert_cmpuint (w.batches[0], ==, 1);
    end_batch (&w);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedule/idle-device", test_idle_device);
  g_test_add_func ("/schedule/busy-device", test_busy_device);
  g_test_add_func ("/schedule/timeout", test_timeout);
  g_test_add_func ("/schedule/round-robin", test_round_robin);
  g_test_add_func ("/schedule/random", test_random);
  g_test_add_func ("/schedule/greedy-stream", test_greedy_stream);
  g_test_add_func ("/schedule/stalled-stream", test_stalled_stream);
  g_test_add_func ("/schedule/batches-follow-the-load", test_batches_follow_the_load);
  return g_test_run ();
}
