/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inside.glsl - whether a map of @w columns and @h rows has the place (@x, @y). Negative numbers are large unsigned ones,
 * and a comparison of vectors has none of the branches that && makes, each of them code to lavapipe.
 */
bool
is_inside (int x, int y, int w, int h)
{
  return all (lessThan (uvec2 (x, y), uvec2 (w, h)));
}
