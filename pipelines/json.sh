#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Writes what is found as lines of JSON to the standard output, and nothing else.
#
#   pipelines/json.sh MODEL INPUT | jq -c '.detections[] | [.label, .score]'
#   pipelines/json.sh MODEL INPUT > found.jsonl
#
# A line for each frame in which something was found; docs/elements/deimjson.md says what stands in it.
#
. "$(dirname "$0")/common.sh"
begin 1 1 "$@"
read_from "${arguments[0]}"

# What gst-launch-1.0 says, warnings among it, goes to the standard error; -q would hide them. The lines go to what was
# the standard output, which is opened a second time (and has been emptied already, where it is to be); a socket cannot.
quiet=() lines=(location=/dev/fd/3 append=true)
if [ -n "$print" ] || [ -S /dev/fd/1 ]; then
  quiet=(-q) lines=(location=-)
else
  exec 3>&1 1>&2
fi

launch "${quiet[@]}" "${source[@]}" ! \
  deimdetect model="$model" in-flight=4 "${settings[@]}" ! \
  deimjson "${lines[@]}" ! \
  fakesink
