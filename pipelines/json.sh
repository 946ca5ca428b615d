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

launch -q "${source[@]}" ! \
  deimdetect model="$model" in-flight=4 "${settings[@]}" ! \
  deimjson location=- ! \
  fakesink
