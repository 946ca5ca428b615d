#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Configures (where that was not done) and builds one build folder, with progress.
#
#   pipelines/build.sh [FOLDER [MESON OPTION...]]      FOLDER: build, inside the source folder
#
# The options count only when FOLDER is configured for the first time; the compiler is $CC then. The output of a build
# goes to FOLDER/build.log, and its end to standard error when something fails.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=${1:-build}
[ "$#" = 0 ] || shift

mkdir -p "$folder"
log=$folder/build.log

fail ()
{
  # ninja prints what failed somewhere in the middle, meson at the end.
  if grep -q '^FAILED:' "$log"; then
    sed -n '/^FAILED:/,$p' "$log" | grep -v '^\[' | head -n 60 >&2
  else
    tail -n 20 "$log" >&2
  fi
  printf 'build: %s failed; all it said is in %s\n' "$1" "$PWD/$log" >&2
  exit 1
}

if [ ! -e "$folder/build.ninja" ]; then
  printf 'build: configuring %s\n' "$folder"
  meson setup "$folder" "$@" > "$log" 2>&1 || fail 'meson setup'
fi

# One line every tenth of the way: "[12/120] Compiling ..." is what ninja says where it does not own a terminal.
printf 'build: compiling %s\n' "$folder"
export NINJA_STATUS='[%f/%t] '
ninja -C "$folder" -j "$(nproc)" 2>&1 | tee "$log" | awk -v folder="$folder" '
  match ($0, /^\[[0-9]+\/[0-9]+\]/) {
    split (substr ($0, 2, RLENGTH - 2), step, "/")
    tenth = int (10 * step[1] / step[2])
    if (tenth > shown) {
      printf "build: %s, %d of %d\n", folder, step[1], step[2]
      fflush ()
      shown = tenth
    }
  }' || fail ninja
