#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-default.sh DEIM BUILD - the model that is part of the library: its size, what it knows, how well it finds that in
# pictures it has never seen, and deimdetect without a model. TAP.
deim=$1
GST_PLUGIN_PATH=$2/gst-plugin
export GST_PLUGIN_PATH
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

n=0
# is NAME SAID COMMAND...: the command succeeds.
is () {
  n=$((n + 1))
  name=$1 said=$2
  shift 2
  if "$@"; then
    echo "ok $n $name: $said"
  else
    echo "not ok $n $name: $said"
    sed 's/^/# /' "$dir/err"
  fi
}
# above VALUE LIMIT
above () {
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a > b) }'
}

"$deim" info default >"$dir/info" 2>"$dir/err"
is "six classes of shapes" "$(sed -n 's/^Classes *//p' "$dir/info")" grep -q "^Classes  *6 (disc, square, triangle" "$dir/info"

# Half precision, so that it weighs little in the library.
"$deim" convert default "$dir/default.safetensors" >/dev/null 2>"$dir/err"
size=$(wc -c <"$dir/default.safetensors")
is "bytes" "$size" test "$size" -gt 0 -a "$size" -le 2000000

# 80 pictures of a seed that was never trained on: AP is no more than 0.06 below that of the 500 in models/README.md.
"$deim" dataset synth --output "$dir/data" --count 80 --seed 4711 >/dev/null 2>"$dir/err"
ap=$("$deim" eval default --images "$dir/data/images" --annotations "$dir/data/annotations.json" --json 2>"$dir/err" |
  sed -n 's/.*"AP": \([0-9.]*\),.*/\1/p')
is "average precision" "$ap" above "$ap" 0.658

# The element takes it when nothing is set, and says so.
gst-launch-1.0 multifilesrc location="$dir/data/images/%06d.png" start-index=0 stop-index=9 caps=image/png,framerate=5/1 ! \
  pngdec ! videoconvert ! deimdetect ! deimjson location="$dir/out.jsonl" ! fakesink >"$dir/launch" 2>"$dir/err"
is "deimdetect without a model" "$(grep -o '"label"' "$dir/out.jsonl" 2>/dev/null | wc -l) detections" \
  test "$(grep -o '"label"' "$dir/out.jsonl" 2>/dev/null | wc -l)" -ge 10
is "its warning" "No model is set" grep -q "No model is set. The default one is used" "$dir/launch" "$dir/err"
echo "1..$n"
