#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shows what a camera sees, with the least delay.
#
#   pipelines/camera.sh MODEL [INPUT]        INPUT: /dev/video0 unless given
#
# Frames do not queue up: where the device is slower than the camera, deimdetect lets frames pass without inference, and
# deimoverlay holds the boxes of the frame before for half a second. in-flight=1 sends each frame on before it takes the
# next one; what is drawn and shown waits in a queue of its own, so that no frame of the camera is dropped for it.
#
. "$(dirname "$0")/common.sh"
begin 0 1 "$@"
read_from "${arguments[0]:-/dev/video0}"

launch "${source[@]}" ! \
  queue leaky=downstream max-size-buffers=1 ! \
  deimdetect model="$model" in-flight=1 "${settings[@]}" ! queue max-size-bytes=0 ! \
  deimoverlay ! "${sink[@]}"
