/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plain.glsl - plain tensors (engine/graph/layout.h): numbers in row-major order, four to a vec4. They are read through
 * READ as
 *
 *   NUMBER (name, i)           number i
 *
 * and written by number through WRITE_RAW; whoever writes the last number of one writes zeros up to the whole vec4:
 *
 *   FINISH (name, count)
 */
#define NUMBER(NAME, I) (NAME ((I) >> 2)[(I) & 3])

#define FINISH(NAME, COUNT)                                                                                            \
  for (int finish = (COUNT); (finish & 3) != 0; finish++)                                                              \
  NAME[finish] = 0
