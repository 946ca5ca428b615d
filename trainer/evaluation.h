/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* evaluation.h - the twelve numbers of the COCO detection challenge. */
#pragma once

#include "coco.h"

/* "Small" is an area below 32 x 32 pixels, "large" one above 96 x 96. */
typedef enum {
  DEIM_EVALUATION_AP, /* mean over IoU 0.50, 0.55, .. 0.95 */
  DEIM_EVALUATION_AP50,
  DEIM_EVALUATION_AP75,
  DEIM_EVALUATION_AP_SMALL,
  DEIM_EVALUATION_AP_MEDIUM,
  DEIM_EVALUATION_AP_LARGE,
  DEIM_EVALUATION_AR1, /* recall with at most 1, 10, 100 detections per picture and class */
  DEIM_EVALUATION_AR10,
  DEIM_EVALUATION_AR100,
  DEIM_EVALUATION_AR_SMALL,
  DEIM_EVALUATION_AR_MEDIUM,
  DEIM_EVALUATION_AR_LARGE,
  DEIM_EVALUATION_LAST
} DeimEvaluationNumber;

/* Each in 0..1, or -1 where the annotations hold no object that it could be measured on. */
typedef struct {
  gdouble numbers[DEIM_EVALUATION_LAST];
} DeimEvaluation;

/*
 * Compares @detections (of DeimCocoDetection, any order; at most the best 100
 * per picture and class count) with the objects of @coco. Every picture and
 * every category of @coco takes part.
 */
void deim_evaluation_run (const DeimCoco *coco, const GArray *detections, DeimEvaluation *ret_evaluation);

/* "AP", "AP50", .. "ARl": the key of a number in files. */
const gchar *deim_evaluation_key (DeimEvaluationNumber number);

/* The table that people know from COCO, twelve lines. Free with g_free(). */
gchar *deim_evaluation_format (const DeimEvaluation *evaluation);
