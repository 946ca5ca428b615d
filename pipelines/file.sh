#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Draws what is found in one video into another. Sound is left out.
#
#   pipelines/file.sh MODEL INPUT OUTPUT.mp4|.mkv
#
# Nothing is live here, so every frame is inferred, as fast as the device can; four of them are on the way at a time.
#
. "$(dirname "$0")/common.sh"
begin 2 2 "$@"
read_from "${arguments[0]}"
output=${arguments[1]}
case $output in
*.mp4) mux=mp4mux ;;
*.mkv) mux=matroskamux ;;
*) die "OUTPUT ends with .mp4 or .mkv: $output" ;;
esac

launch "${source[@]}" ! \
  deimdetect model="$model" in-flight=4 "${settings[@]}" ! \
  deimoverlay ! \
  progressreport update-freq=5 ! \
  videoconvert ! video/x-raw,format=I420 ! x264enc speed-preset=veryfast ! h264parse ! "$mux" ! \
  filesink location="$output"
