#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Makes a default.safetensors:  models/train.sh FOLDER
#
# FOLDER gets the pictures, the training and the result; hours on a processor. Interrupted, the same command goes on. The
# file beside this script is what these commands had after the seventh of the last eight epochs (README.md); the eighth,
# and another device or release, make another one, of about the same AP.
set -euo pipefail

cd "$(dirname "$0")/.."
[ "$#" = 1 ] || {
  echo 'usage: models/train.sh FOLDER' >&2
  exit 2
}
deim=build/tools/deim
[ -x "$deim" ] || pipelines/build.sh build

# Pictures of seeds 1 and 2; those that the figures in README.md are of have others. A folder is complete when it has its name.
synth ()
{
  [ -e "$1" ] || { rm -rf "$1.part" && "$deim" dataset synth --output "$1.part" --count "$2" --seed "$3" && mv "$1.part" "$1"; }
}
synth "$1/data/train" 8000 1
synth "$1/data/val" 200 2

"$deim" train --resume --data "$1/data" --model deimv2_atto:queries=60 --output "$1/small" \
  --input 192x192 --epochs 4 --batch 4 --lr 2e-3 --lr-end 0.05 --denoising 40 --light --seed 1
"$deim" train --resume --data "$1/data" --model "$1/small/best.safetensors" --output "$1/run" \
  --input 256x256 --epochs 8 --batch 4 --lr 2e-3 --lr-end 0.02 --denoising 40 --light --seed 5
"$deim" convert "$1/run/best.safetensors" --half "$1/default.safetensors"
