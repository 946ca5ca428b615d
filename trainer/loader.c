/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loader.c - threads that make whole batches, and hand them over in order.
 *
 * A thread takes the next number as long as it is less than WINDOW ahead of the
 * reader, makes that batch and puts it into the slot of its number. A restart
 * raises the generation; batches of an older one are dropped when they are done.
 */
#include "loader.h"

#include <deim.h>
#include <math.h>

#define MAX_THREADS 64

typedef struct {
  DeimBatch *batch;
  GError *error;
} Slot;

struct _DeimLoader {
  DeimSampleSource source;
  DeimLoaderOptions options;
  DeimAugmentPolicy policy;
  guint n_batches;
  GThread *threads[MAX_THREADS];
  guint n_threads, window;

  GMutex lock; /* of what follows */
  GCond changed;
  gboolean stopping;
  guint generation, epoch;
  guint *order; /* of the epoch's pictures */
  guint taken;  /* the next batch for a thread */
  guint read;   /* the next one for the reader */
  Slot *slots;  /* [window], by number % window */
};

/* What a thread needs to make one batch, copied under the lock. */
typedef struct {
  guint generation, epoch, number, n;
  guint *pictures; /* [n] of the whole batch */
} Job;

/* Independent streams for the order of pictures, single pictures, and batches. */
typedef enum { STREAM_ORDER, STREAM_PICTURE, STREAM_BATCH } Stream;

static DeimRandom
stream_of (const DeimLoader *loader, guint epoch, Stream stream)
{
  DeimRandom root = deim_random_new (loader->options.seed), own = deim_random_fork (&root, epoch);
  return deim_random_fork (&own, stream);
}

/* ------------------------------------------------------------------ a batch */

/* What happens to a batch as a whole. */
typedef struct {
  guint width, height;
  gboolean mixup, copyblend;
  gdouble beta;
} Plan;

/* Sizes from 0.75 to 1.25 times @size in steps of 32, itself several times: one of them. */
static guint
draw_size (guint size, guint repeat, DeimRandom *random)
{
  guint low = size * 3 / 4 / 32 * 32, high = size * 5 / 4 / 32 * 32, n = (size - low) / 32;
  guint choice = deim_random_below (random, 2 * n + repeat);
  return choice < n ? low + choice * 32 : choice < n + repeat ? size : high - (choice - n - repeat) * 32;
}

static Plan
plan_batch (const DeimLoader *loader, guint epoch, DeimRandom *random)
{
  const DeimAugmentPolicy *policy = loader->options.policy;
  Plan plan = { loader->options.width, loader->options.height };

  if (!policy)
    return plan;
  if (policy->multi_scale && epoch < policy->multi_scale_stop) {
    /* One factor for both sides; of a square input this is the official choice. */
    guint width = draw_size (plan.width, policy->multi_scale, random);
    plan.height = MAX ((guint) round ((gdouble) plan.height * width / plan.width / 32), 1) * 32;
    plan.width = width;
  }
  plan.mixup = epoch >= policy->start && epoch < policy->half && deim_random_chance (random, policy->mixup);
  plan.copyblend = !plan.mixup && epoch >= policy->start && epoch < policy->copyblend_stop &&
                   deim_random_chance (random, policy->copyblend);
  plan.beta = deim_random_range (random, 0.45, 0.55);
  return plan;
}

static DeimBatch *
make_batch (const DeimLoader *loader, const Job *job, GError **error)
{
  const DeimLoaderOptions *options = &loader->options;
  DeimRandom pictures = stream_of (loader, job->epoch, STREAM_PICTURE);
  DeimRandom batches = stream_of (loader, job->epoch, STREAM_BATCH);
  DeimRandom random = deim_random_fork (&batches, job->number);
  Plan plan = plan_batch (loader, job->epoch, &random);

  /* This process's rows, and what they are mixed with. */
  guint first = MIN (options->first, job->n), count = MIN (options->count, job->n - first);
  gboolean part = count < job->n, all = !part || plan.copyblend;
  guint before = all || !plan.mixup ? 0 : 1, n = all ? job->n : count + before;
  guint from = all ? 0 : first + job->n - before;
  g_autoptr (DeimBatch) batch = deim_batch_new (n, plan.width, plan.height);

  for (guint i = 0; i < n; i++) {
    guint row = (from + i) % job->n, place = job->number * options->batch + row;
    DeimRandom own = deim_random_fork (&pictures, place);
    g_autoptr (DeimSample) sample = deim_augment_load (options->policy, job->epoch, plan.width, plan.height,
                                                       &loader->source, job->pictures[row], &own, error);
    if (!sample)
      return NULL;
    deim_batch_set (batch, i, sample, job->pictures[row]);
  }
  if (plan.mixup)
    deim_batch_mixup (batch, plan.beta);
  else if (plan.copyblend)
    deim_batch_copyblend (batch, &random);
  return part ? deim_batch_slice (batch, all ? first : before, count) : g_steal_pointer (&batch);
}

/* ------------------------------------------------------------------ threads */

/* Waits for work; FALSE when there will be none. */
static gboolean
take_job (DeimLoader *loader, Job *ret_job)
{
  const guint n = loader->source.n;

  g_mutex_lock (&loader->lock);
  while (!loader->stopping &&
         (!loader->order || loader->taken >= loader->n_batches || loader->taken >= loader->read + loader->window))
    g_cond_wait (&loader->changed, &loader->lock);
  gboolean go = !loader->stopping;
  if (go) {
    Job job = { loader->generation, loader->epoch, loader->taken++ };
    guint start = job.number * loader->options.batch;
    job.n = loader->options.policy ? loader->options.batch : MIN (loader->options.batch, n - start);
    job.pictures = g_new (guint, job.n);
    for (guint i = 0; i < job.n; i++)
      job.pictures[i] = loader->order[(start + i) % n];
    *ret_job = job;
  }
  g_mutex_unlock (&loader->lock);
  return go;
}

static gpointer
work (gpointer data)
{
  DeimLoader *loader = data;
  Job job;

  while (take_job (loader, &job)) {
    Slot made = { NULL };
    made.batch = make_batch (loader, &job, &made.error);
    g_free (job.pictures);
    g_mutex_lock (&loader->lock);
    if (job.generation == loader->generation) {
      loader->slots[job.number % loader->window] = made;
      made = (Slot){ NULL };
      g_cond_broadcast (&loader->changed);
    }
    g_mutex_unlock (&loader->lock);
    deim_batch_free (made.batch);
    g_clear_error (&made.error);
  }
  return NULL;
}

static void
clear_slots (DeimLoader *loader)
{
  for (guint i = 0; i < loader->window; i++) {
    g_clear_pointer (&loader->slots[i].batch, deim_batch_free);
    g_clear_error (&loader->slots[i].error);
  }
}

static gboolean
check_options (const DeimSampleSource *source, const DeimLoaderOptions *options, GError **error)
{
  const gchar *wrong = NULL;

  if (source->n == 0)
    wrong = "the data set has no picture";
  else if (options->batch == 0)
    wrong = "a batch must have at least one picture";
  else if (options->first >= options->batch || options->count > options->batch - options->first)
    wrong = "this process's part lies outside the batch";
  else if (options->width == 0 || options->height == 0 || options->width % 32 || options->height % 32)
    wrong = "the input size must be a multiple of 32";
  else if (options->threads > MAX_THREADS)
    wrong = "more than 64 loader threads";
  if (wrong)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "%s; change the settings", wrong);
  return wrong == NULL;
}

DeimLoader *
deim_loader_new (const DeimSampleSource *source, const DeimLoaderOptions *options, GError **error)
{
  if (!check_options (source, options, error))
    return NULL;
  DeimLoader *loader = g_new0 (DeimLoader, 1);
  loader->source = *source;
  loader->options = *options;
  if (options->policy) {
    loader->policy = *options->policy;
    loader->options.policy = &loader->policy;
  }
  if (options->count == 0)
    loader->options.count = options->batch - options->first;
  loader->n_batches =
      options->policy ? MAX (source->n / options->batch, 1) : (source->n + options->batch - 1) / options->batch;
  loader->n_threads = MAX (options->threads, 1);
  loader->window = loader->n_threads + 1;
  loader->slots = g_new0 (Slot, loader->window);
  g_mutex_init (&loader->lock);
  g_cond_init (&loader->changed);
  for (guint i = 0; i < loader->n_threads; i++)
    loader->threads[i] = g_thread_new ("deim-loader", work, loader);
  return loader;
}

void
deim_loader_free (DeimLoader *loader)
{
  if (!loader)
    return;
  g_mutex_lock (&loader->lock);
  loader->stopping = TRUE;
  g_cond_broadcast (&loader->changed);
  g_mutex_unlock (&loader->lock);
  for (guint i = 0; i < loader->n_threads; i++)
    g_thread_join (loader->threads[i]);
  clear_slots (loader);
  g_free (loader->slots);
  g_free (loader->order);
  g_mutex_clear (&loader->lock);
  g_cond_clear (&loader->changed);
  g_free (loader);
}

guint
deim_loader_get_n_batches (const DeimLoader *loader)
{
  return loader->n_batches;
}

void
deim_loader_start (DeimLoader *loader, guint epoch, guint batch)
{
  guint *order = g_new (guint, loader->source.n);
  DeimRandom random = stream_of (loader, epoch, STREAM_ORDER);

  for (guint i = 0; i < loader->source.n; i++)
    order[i] = i;
  if (loader->options.policy)
    deim_random_shuffle (&random, loader->source.n, order);

  g_mutex_lock (&loader->lock);
  loader->generation++;
  loader->epoch = epoch;
  g_free (loader->order);
  loader->order = order;
  loader->taken = loader->read = batch;
  clear_slots (loader);
  g_cond_broadcast (&loader->changed);
  g_mutex_unlock (&loader->lock);
}

DeimBatch *
deim_loader_next (DeimLoader *loader, GError **error)
{
  DeimBatch *batch = NULL;
  GError *failure = NULL;

  g_mutex_lock (&loader->lock);
  if (loader->read < loader->n_batches) {
    Slot *slot = &loader->slots[loader->read % loader->window];
    while (!slot->batch && !slot->error)
      g_cond_wait (&loader->changed, &loader->lock);
    batch = g_steal_pointer (&slot->batch);
    failure = g_steal_pointer (&slot->error);
    loader->read++;
    g_cond_broadcast (&loader->changed);
  }
  g_mutex_unlock (&loader->lock);
  if (failure)
    g_propagate_error (error, failure);
  return batch;
}
