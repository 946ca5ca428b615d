/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * augment.h - random changes of single pictures, and when each happens: the
 * part of Dense O2O (DEIM, section 3.1) and of the recipes around it that works
 * before pictures are put into batches.
 *
 *     mosaic          4 pictures in one, turned by up to 10 degrees, scaled by 0.5 to 1.5, moved by up to a tenth
 *     photometric     light and colour, each kind with probability 0.5
 *     zoom-out        half of the time: into a black picture up to 4 times as wide and high; not after mosaic
 *     IoU crop        with probability 0.8: a part that holds the middle of some object; not after mosaic
 *     flip            half of the time
 *     resize, sanitize
 *
 * All numbers are those of the official recipes, whose steps are torchvision's.
 * Everything is drawn from the stream given, nothing else is remembered. (The
 * official mosaic takes its other pictures from the last 50 that its process
 * saw; here they come from the whole data set, so that neither the order of
 * threads nor a restart changes them.)
 */
#pragma once

#include "random.h"
#include "sample.h"

/* When what is done; epochs count from 0, ranges hold their first and not their last. */
typedef struct {
  guint start; /* before: flip, resize and sanitize alone */
  guint half;  /* mosaic and mixup: start .. half */
  guint stop;  /* light and colour, zoom-out, IoU crop: start .. stop */
  gdouble mosaic, mixup;
  gdouble copyblend;
  guint copyblend_stop;   /* copyblend: start .. this */
  gdouble min_size;       /* objects below this, in pixels of the network's input, are dropped */
  guint multi_scale;      /* 0: one input size. Else sizes of 0.75 to 1.25 times it, itself as often as this says, .. */
  guint multi_scale_stop; /* .. until this epoch */
} DeimAugmentPolicy;

/* Where pictures come from. @load makes a new sample of number @index, or fails; called from several threads. */
typedef struct {
  guint n;
  DeimSample *(*load) (gpointer data, guint index, GError **error);
  gpointer data;
} DeimSampleSource;

/*
 * Picture @index as epoch @epoch shows it, @width x @height pixels. @policy:
 * (nullable): resized only. An error is the source's.
 */
DeimSample *deim_augment_load (const DeimAugmentPolicy *policy, guint epoch, guint width, guint height,
                               const DeimSampleSource *source, guint index, DeimRandom *random, GError **error);

/* The single steps. */
void deim_augment_zoom_out (DeimSample *sample, DeimRandom *random);
void deim_augment_iou_crop (DeimSample *sample, DeimRandom *random);
/* Of four pictures, each resized so that its shorter side has @side pixels. @samples are changed. */
DeimSample *deim_augment_mosaic (DeimSample *const samples[4], guint side, DeimRandom *random);
