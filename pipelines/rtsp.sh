#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shows what a network camera sees.
#
#   pipelines/rtsp.sh MODEL rtsp://user:password@camera/stream
#
# rtspsrc keeps 200 ms of the stream, to put late packets in their place; deimdetect announces the time that it needs on
# top, so that the sink shows every frame when it is due. Where the device is slower than the camera, inferences are
# skipped and counted (the property "stats"), never frames. The queue lets drawing and showing have a thread of their own.
#
. "$(dirname "$0")/common.sh"
begin 1 1 "$@"
read_from "${arguments[0]}"

launch "${source[@]}" ! \
  deimdetect model="$model" "${settings[@]}" ! queue max-size-bytes=0 ! \
  deimoverlay ! "${sink[@]}"
