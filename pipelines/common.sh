# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2054
#
# What the pipelines in this folder have in common; they source it. After "begin "$@"":
#
#   arguments   what stands before "--", the options of all pipelines left out
#   settings    what stands behind "--": properties of deimdetect, threshold=0.4
#   sink        the elements that show a picture
#
# A pipeline that sources this says in its header how it is called; --help prints that.
set -euo pipefail

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=$(basename "$0")

die ()
{
  printf '%s: %s\n' "$name" "$1" >&2
  [ "$#" = 1 ] || printf '%s\n' "${@:2}" >&2
  exit 1
}

# The comment at the top of the script, from its third line on.
usage ()
{
  sed -n '3,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"
  cat << 'TEXT'
MODEL    a checkpoint; where it is missing, $DEIM_MODEL is taken
INPUT    a file, rtsp://..., http(s)://..., /dev/videoN, or elements: 'videotestsrc pattern=ball'

  --sink ELEMENTS   what to do with the picture, in place of 'autovideosink'
  --frames N        end after N frames
  --print           print the pipeline and do not run it
  -- NAME=VALUE...  properties of deimdetect: threshold=0.4 classes=person,car (gst-inspect-1.0 deimdetect)
TEXT
}

# begin LEAST MOST ARGUMENT...: how many arguments there may be behind MODEL.
begin ()
{
  local least=$1 most=$2
  shift 2
  arguments=() settings=() sink=(videoconvert ! autovideosink) frames='' print=''
  while [ "$#" != 0 ]; do
    case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --sink)
      read -r -a sink <<< "${2:?--sink wants elements}"
      shift
      ;;
    --frames)
      frames=${2:?--frames wants a number}
      shift
      ;;
    --print) print=yes ;;
    --)
      shift
      settings=("$@")
      break
      ;;
    --*) die "there is no option $1; see $name --help" ;;
    *) arguments+=("$1") ;;
    esac
    shift
  done
  # A first argument that is a checkpoint is the model; without one it is $DEIM_MODEL.
  case ${arguments[0]:-} in
  *.pth | *.safetensors | *.onnx)
    model=${arguments[0]}
    arguments=("${arguments[@]:1}")
    ;;
  *) model=${DEIM_MODEL:-} ;;
  esac
  [ -n "$model" ] || die "no MODEL is given: a .safetensors, .pth or .onnx file, or \$DEIM_MODEL; see $name --help"
  [ -f "$model" ] || die "there is no file $model"
  if [ "${#arguments[@]}" -lt "$least" ] || [ "${#arguments[@]}" -gt "$most" ]; then
    die "this is not how it is called; see $name --help"
  fi

  # What was built here comes before what is installed, and what the caller says before both.
  if [ -z "${GST_PLUGIN_PATH:-}" ] && [ -d "$folder/build/gst-plugin" ]; then
    export GST_PLUGIN_PATH=$folder/build/gst-plugin
  fi
  have deimdetect || die "there is no element deimdetect: build it (pipelines/setup.sh && pipelines/build.sh), or install gst-deim"
}

# have ELEMENT: whether there is one. gst-inspect asks for GStreamer's own version where it is not told another.
have ()
{
  gst-inspect-1.0 --exists --atleast-version=0.1 "$1"
}

# read_from INPUT: sets "source" to the elements that read it, up to decoded video.
read_from ()
{
  case $1 in
  rtsp://* | rtsps://*) source=(rtspsrc location="$1" latency=200 ! application/x-rtp,media=video ! decodebin) ;;
  http://* | https://*) source=(uridecodebin uri="$1") ;;
  # Whatever the camera delivers, JPEG too.
  /dev/video*) source=(v4l2src device="$1" ! decodebin) ;;
  *' '* | *src) read -r -a source <<< "$1" ;;
  *)
    [ -f "$1" ] || die "there is no file $1"
    source=(filesrc location="$1" ! decodebin)
    ;;
  esac
  source+=(! videoconvert)
  [ -z "$frames" ] || source+=(! identity eos-after="$frames")
}

# launch WORD...: what gst-launch-1.0 gets; -e makes files whole on Ctrl-C.
launch ()
{
  if [ -z "$print" ]; then
    exec gst-launch-1.0 -e "$@"
  fi
  printf 'gst-launch-1.0 -e'
  local word
  for word; do
    if [ "$word" = '!' ]; then
      printf ' !'
    else
      printf ' %q' "$word"
    fi
  done
  printf '\n'
}
