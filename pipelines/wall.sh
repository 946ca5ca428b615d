#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shows four streams in one picture.
#
#   pipelines/wall.sh MODEL INPUT INPUT INPUT INPUT
#
# The four deimdetect name the same model, so they share one engine: its weights are in memory once. Each has a queue
# (a thread) of its own. Live streams do not wait for one that stalls; of files, the picture waits for all four. Boxes are
# drawn before the pictures are made smaller, so that a box is where it was found.
#
# shellcheck disable=SC2054
. "$(dirname "$0")/common.sh"
begin 4 4 "$@"

wall=(compositor name=wall background=black
  sink_0::xpos=0 sink_0::ypos=0 sink_1::xpos=640 sink_1::ypos=0
  sink_2::xpos=0 sink_2::ypos=360 sink_3::xpos=640 sink_3::ypos=360
  ! video/x-raw,width=1280,height=720,framerate=25/1 ! "${sink[@]}")
for i in 0 1 2 3; do
  read_from "${arguments[i]}"
  wall+=("${source[@]}" ! queue !
    deimdetect model="$model" "${settings[@]}" ! queue max-size-bytes=0 !
    deimoverlay !
    videoconvert ! videoscale add-borders=true ! video/x-raw,width=640,height=360,pixel-aspect-ratio=1/1 !
    queue ! wall.sink_"$i")
done
launch "${wall[@]}"
