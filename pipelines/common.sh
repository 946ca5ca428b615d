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
INPUT    a file, rtsp://..., http(s)://..., file://..., /dev/videoN, or elements: 'videotestsrc pattern=ball'

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
      [ -n "${2:-}" ] || die "--sink wants elements: --sink 'videoconvert ! ximagesink'"
      read -r -a sink <<< "$2"
      shift
      ;;
    --frames)
      [[ ${2:-} =~ ^[1-9][0-9]{0,8}$ ]] || die "--frames wants a number, 1 or more"
      frames=$2
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
  # What is a file is no list of elements, whatever its name.
  if [ -f "$1" ]; then
    source=(filesrc location="$1" ! decodebin)
  else
    source_of "$1"
  fi
  source+=(! videoconvert)
  # identity lets N - 1 frames pass, answers "end" once, and then lets pass what the decoder still has. The queue takes
  # that answer for all that follows, but for a frame that waits at its door, which the second identity stops.
  [ -z "$frames" ] || source+=(! queue max-size-buffers=1 ! identity eos-after=$((frames + 1)) !
    identity eos-after=$((frames + 1)))
}

# source_of INPUT: the same for what is no file.
source_of ()
{
  case $1 in
  rtsp://* | rtsps://*) source=(rtspsrc location="$1" latency=200 ! application/x-rtp,media=video ! decodebin) ;;
  http://* | https://* | file://*) source=(uridecodebin uri="$1") ;;
  # Whatever the camera delivers, JPEG too.
  /dev/video*) source=(v4l2src device="$1" ! decodebin) ;;
  *' '* | *src) read -r -a source <<< "$1" ;;
  *) die "there is no file $1" ;;
  esac
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
    case $word in
    '!') printf ' !' ;;
    '' | *[!A-Za-z0-9_./:=,+@%-]*)
      # Quoted from the value on, as people write it: topic='cameras/{stream}'.
      local key=''
      [[ ! $word =~ ^[A-Za-z0-9_:-]+= ]] || key=${BASH_REMATCH[0]}
      word=${word#"$key"}
      printf " %s'%s'" "$key" "${word//\'/\'\\\'\'}"
      ;;
    *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
}
