/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * op.h - what a file of engine/ops/ includes.
 *
 * Adding an operator: a file engine/ops/NAME.c that defines
 * `const DeimOp deim_op_NAME` and the builder function of ops.h, one line in
 * table.c, one entry in tests/op-cases.c, and the shader. Table-driven tests
 * then compare shader and reference, and the gradient with finite differences,
 * over random legal shapes.
 */
#pragma once

#include "dispatch.h"
#include "ops.h"

/* All ops, NULL-terminated. */
extern const DeimOp *const deim_op_table[];
const DeimOp *deim_op_find (const gchar *name);
