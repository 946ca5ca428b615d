#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-accuracy.sh DEIM SOURCE_ROOT - average precision of real weights on 24 photos, in fp32 and fp16. TAP.
#
# The photos are decoded by libjpeg-turbo's slow integer method, as they were for the expected values: what decoders
# make of the chroma moves average precision by up to a hundredth, and is not what is asked here.
deim=$1
shared=${DEIM_SHARED:-$2/../shared}
photos=$shared/real/open
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

skip () {
  echo "1..0 # SKIP $1"
  exit 0
}
[ -f "$photos/instances_open24.json" ] || skip "no shared folder: set DEIM_SHARED"
command -v djpeg >/dev/null || skip "no djpeg (Debian: libjpeg-turbo-progs)"

# Each photo as PPM, under its old name: that is what the annotations say, and decoders look at the content.
for photo in "$photos"/*.jpg; do
  djpeg -dct int -outfile "$dir/${photo##*/}" "$photo" || exit 1
done

n=0
# within NAME VALUE EXPECTED: they differ by at most 0.002.
within () {
  n=$((n + 1))
  if awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= 0.002 && d >= -0.002) }'; then
    echo "ok $n $1: $2 ($3)"
  else
    echo "not ok $n $1: \"$2\", not within 0.002 of \"$3\""
  fi
}

# average MODEL PRECISION: prints AP.
average () {
  "$deim" eval "$shared/real/deimv2_hgnetv2_$1_coco.safetensors" --images "$dir" --precision "$2" --json \
    --annotations "$photos/instances_open24.json" 2>"$dir/err" | sed -n 's/.*"AP": \([0-9.]*\),.*/\1/p'
  sed 's/^/# /' "$dir/err" >&2
}

# What PyTorch reaches on the same pixels.
for expected in atto=0.2121 femto=0.3016; do
  model=${expected%=*}
  full=$(average "$model" fp32)
  half=$(average "$model" fp16)
  within "$model in fp32 as in PyTorch" "$full" "${expected#*=}"
  within "$model in fp16 as in fp32" "$half" "$full"
done
echo "1..$n"
