#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# From nothing to boxes: installs what is missing, builds, detects in pictures and in a video, and says where they are.
#
#   pipelines/demo.sh [MODEL [INPUT]]
#
# MODEL: a checkpoint (.safetensors or .pth); without it the model that is part of the library, which knows six drawn
# shapes, and pictures made of them. INPUT: a picture, a folder of pictures, or a video; without it the photos of
# ../shared/real/open when they are there, else GStreamer's test picture. Results go to out/.
set -euo pipefail

start=$PWD
cd "$(dirname "$0")/.."

say ()
{
  printf 'demo: %s\n' "$*"
}

die ()
{
  printf 'demo: %s\n' "$@" >&2
  exit 1
}

# What people type is relative to where they stand.
absolute ()
{
  case $1 in
  /*) printf '%s\n' "$1" ;;
  *) printf '%s\n' "$start/$1" ;;
  esac
}

[ "$#" -le 2 ] || die 'usage: pipelines/demo.sh [MODEL [INPUT]]'
case ${1:-default} in
default) model=default ;;
*) model=$(absolute "$1") ;;
esac
input=${2:+$(absolute "$2")}
[ "$model" = default ] || [ -f "$model" ] || die "there is no file $model"
[ -z "$input" ] || [ -e "$input" ] || die "there is no file or folder $input"

pipelines/setup.sh
pipelines/build.sh build
deim=build/tools/deim
export GST_PLUGIN_PATH=$PWD/build/gst-plugin${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}

work=$(mktemp -d "${TMPDIR:-/tmp}/deim-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p out "$work/slides"

# By way of RGB: videoconvert 1.22 scales only the luma when it turns full-range I420 (JPEG) into limited-range I420.
yuv=(videoconvert ! "video/x-raw,format=BGRx" ! videoconvert ! "video/x-raw,format=I420,colorimetry=bt601")
if gst-inspect-1.0 --exists x264enc && gst-inspect-1.0 --exists mp4mux; then
  encode=("${yuv[@]}" ! x264enc speed-preset=veryfast bitrate=4000 ! h264parse ! mp4mux)
  kind=mp4
else
  encode=("${yuv[@]}" ! jpegenc quality=90 ! matroskamux)
  kind=mkv
fi

launch ()
{
  gst-launch-1.0 -q "$@" 2> "$work/gst.log" || {
    cat "$work/gst.log" >&2
    die "this pipeline failed:" "  gst-launch-1.0 $*"
  }
}

is_picture ()
{
  case ${1,,} in
  *.jpg | *.jpeg | *.png | *.bmp | *.webp | *.ppm) return 0 ;;
  *) return 1 ;;
  esac
}

# Pictures to detect in, and a video to detect in; either may have to be made from the other.
pictures=()
video=
shared=../shared/real/open
if [ -z "$input" ] && [ "$model" = default ]; then
  input=$work/shapes/images
  say 'no model was given: taking the default one, and pictures of the shapes that it knows'
  "$deim" dataset synth --output "$work/shapes" --count 12 --seed 20 > /dev/null
fi
if [ -z "$input" ] && compgen -G "$shared/*.jpg" > /dev/null; then
  input=$shared
  say "no input was given: taking the photos of $shared"
fi
if [ -z "$input" ]; then
  video=$work/test.$kind
  say 'no input was given: taking a test picture; whatever is found in it means nothing'
  launch videotestsrc pattern=ball num-buffers=100 ! video/x-raw,width=640,height=480,framerate=10/1 ! \
    "${encode[@]}" ! filesink location="$video"
elif [ -d "$input" ]; then
  for file in "$input"/*; do
    ! is_picture "$file" || pictures+=("$file")
  done
  [ "${#pictures[@]}" != 0 ] || die "there is no picture in $input"
  pictures=("${pictures[@]:0:12}")
elif is_picture "$input"; then
  pictures=("$input")
else
  video=$input
fi

if [ -n "$video" ]; then
  # A frame or two more may follow the first before the pipeline hears of the end.
  launch filesrc location="$video" ! decodebin ! videoconvert ! video/x-raw,format=RGB ! pngenc snapshot=true ! \
    multifilesink location="$work/frame-%d.png"
  mv "$work/frame-0.png" "$work/first-frame.png"
  pictures=("$work/first-frame.png")
else
  # One second a picture, three for a single one.
  video=$work/slides.$kind
  say "making a video of ${#pictures[@]} picture(s)"
  for i in "${!pictures[@]}"; do
    launch filesrc location="${pictures[i]}" ! decodebin ! videoconvert ! jpegenc quality=95 snapshot=true ! \
      filesink location="$(printf '%s/slides/%04d.jpg' "$work" "$i")"
  done
  if [ "${#pictures[@]}" = 1 ]; then
    cp "$work/slides/0000.jpg" "$work/slides/0001.jpg"
    cp "$work/slides/0000.jpg" "$work/slides/0002.jpg"
  fi
  launch multifilesrc location="$work/slides/%04d.jpg" caps=image/jpeg,framerate=1/1 ! jpegdec ! videoconvert ! \
    videoscale ! video/x-raw,width=640,height=480,pixel-aspect-ratio=1/1 ! videorate ! video/x-raw,framerate=5/1 ! \
    "${encode[@]}" ! filesink location="$video"
fi

say "detecting in ${#pictures[@]} picture(s)"
rm -rf out/pictures
"$deim" detect "$model" "${pictures[@]}" --draw out/pictures --json out/detections.jsonl

say 'detecting in the video'
result=out/detected.$kind
launch filesrc location="$video" ! decodebin ! videoconvert ! deimdetect model="$model" ! deimoverlay ! \
  progressreport update-freq=2 ! "${encode[@]}" ! filesink location="$result"

drawn=(out/pictures/*)
if [ ! -s "${drawn[0]}" ] || [ ! -s "$result" ]; then
  die 'nothing was written, though nothing failed: please report this'
fi
printf -v quoted '%q' "$model"
cat << TEXT

demo: done on $("$deim" info --device | sed -n 's/^device *//p')
demo: picture    $PWD/${drawn[0]}$([ "${#drawn[@]}" = 1 ] || printf ' and %d more' $((${#drawn[@]} - 1)))
demo: video      $PWD/$result
demo: as JSON    $PWD/out/detections.jsonl
demo: and on a camera:
  GST_PLUGIN_PATH=$PWD/build/gst-plugin gst-launch-1.0 v4l2src ! videoconvert ! \\
    deimdetect model=$quoted ! deimoverlay ! videoconvert ! autovideosink
TEXT
if [ "$model" = default ]; then
  cat << 'TEXT'

demo: the default model knows drawn discs, squares, triangles, stars, crosses and rings, and nothing else. For people,
demo: cars and the rest of COCO's 80 classes take a checkpoint of the authors of DEIMv2 (Apache-2.0; the "ckpt" column of
demo: the Model Zoo at https://github.com/Intellindust-AI-Lab/DEIMv2; Atto and Femto are small enough for a CPU):
demo:   pipelines/demo.sh deimv2_hgnetv2_atto_coco.pth
demo: For classes of your own, "deim train --help".
TEXT
fi
