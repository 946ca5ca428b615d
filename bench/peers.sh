#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# gst-deim and ONNX Runtime (CPU) on the same networks, in alternating pairs of runs on this machine, as a table of
# milliseconds per frame and ratios.
#
#   bench/peers.sh [MODEL ONNX]...    checkpoints, each with its export by the official export_onnx.py
#
# Without arguments: the files of ../shared/real, when they are there. $PAIRS (5) and $FRAMES (60) say how long it takes.
# ONNX Runtime comes from npm, pinned in bench/onnxruntime/; its install scripts are not run.
set -euo pipefail

start=$PWD
cd "$(dirname "$0")/.."

die ()
{
  printf 'peers: %s\n' "$@" >&2
  exit 1
}

files=()
for file in "$@"; do
  case $file in
  /*) files+=("$file") ;;
  *) files+=("$start/$file") ;;
  esac
done
if [ "$#" = 0 ]; then
  for size in atto femto; do
    name=deimv2_hgnetv2_${size}_coco
    [ ! -f "../shared/real/onnx/$name.onnx" ] ||
      files+=("../shared/real/$name.safetensors" "../shared/real/onnx/$name.onnx")
  done
fi
((${#files[@]} > 0 && ${#files[@]} % 2 == 0)) || die 'usage: bench/peers.sh [MODEL ONNX]...'
for file in "${files[@]}"; do
  [ -f "$file" ] || die "there is no file $file"
done
[ -x build/tools/deim ] || die 'gst-deim is not built: run pipelines/demo.sh or tests/run.sh first'

if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
  echo 'peers: ONNX Runtime is not available: node and npm are not installed. gst-deim alone:' >&2
  for ((i = 0; i < ${#files[@]}; i += 2)); do
    build/tools/deim bench "${files[i]}" --frames "${FRAMES:-60}"
  done
  exit 0
fi

# Beside the other caches, so that the source folder stays clean.
peer=${XDG_CACHE_HOME:-$HOME/.cache}/gst-deim/onnxruntime
mkdir -p "$peer"
cp bench/onnxruntime/package.json bench/onnxruntime/package-lock.json bench/onnxruntime/*.mjs "$peer"
if ! cmp -s "$peer/package-lock.json" "$peer/installed"; then
  echo 'peers: installing ONNX Runtime (about 300 MB unpacked)' >&2
  (cd "$peer" && npm ci --ignore-scripts --no-audit --no-fund --silent) || die 'npm could not install ONNX Runtime'
  cp "$peer/package-lock.json" "$peer/installed"
fi
node "$peer/pairs.mjs" build/tools/deim "${PAIRS:-5}" "${FRAMES:-60}" "${files[@]}"
