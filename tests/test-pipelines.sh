#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2054
# test-pipelines.sh SOURCE_ROOT BUILD_ROOT - runs every script and sample of pipelines/, as people do. TAP.
#
# With the weights of ../shared it looks for what is in a photo; without them a network of made-up weights runs, which
# finds five things somewhere in each frame. The pictures that were made are in BUILD_ROOT/tests/pictures.
source=$1 build=$2
shared=${DEIM_SHARED:-$source/../shared}
photo=$shared/real/open/000000000139.jpg
pictures=$build/tests/pictures
dir=$(mktemp -d) || exit 1
broker=
server=
trap 'kill $broker $server 2> /dev/null; wait; rm -rf "$dir"' EXIT
export GST_PLUGIN_PATH=$build/gst-plugin GST_REGISTRY=$build/pipelines-registry.bin
rm -rf "$pictures"
mkdir -p "$pictures"
n=0

# result NAME STATUS: STATUS is 0 for passed; what the last command said explains the rest.
result ()
{
  n=$((n + 1))
  if [ "$2" = 0 ]; then
    echo "ok $n $1"
  else
    echo "not ok $n $1"
    tail -n 20 "$dir/err" "$dir/out" | sed 's/^/# /'
  fi
}

skip ()
{
  n=$((n + 1))
  echo "ok $n $1 # SKIP $2"
}

# run COMMAND...: its output goes to $dir/out and $dir/err.
run ()
{
  timeout 120 "$@" > "$dir/out" 2> "$dir/err" < /dev/null
}

# Whether the output of the last command is $1 lines of JSON, each with something found (by the real weights: the tv).
found_in_lines ()
{
  python3 - "$1" "$what" "$dir/out" << 'TEXT' 2>> "$dir/err"
import json, sys
count, what, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
lines = [json.loads(line) for line in open(path)]
assert len(lines) == count, "%d lines" % len(lines)
for number, line in enumerate(lines):
    assert line["frame"] == number, line
    assert any(what in ("", found["label"]) for found in line["detections"]), line
TEXT
}

# $1 is a PNG of $2 x $3 with more in it than one colour.
is_picture ()
{
  python3 - "$1" "$2" "$3" << 'TEXT' 2>> "$dir/err"
import struct, sys
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
assert struct.unpack(">II", data[16:24]) == (int(sys.argv[2]), int(sys.argv[3])), struct.unpack(">II", data[16:24])
assert len(data) > 10000, "%d bytes" % len(data)
TEXT
}

# ------------------------------------------------------------------ the model and something to look at

if [ -f "$photo" ]; then
  model=$shared/real/deimv2_hgnetv2_atto_coco.safetensors what=tv settings=(threshold=0.5)
  still="filesrc location=$photo ! jpegdec"
else
  model=$dir/made-up.safetensors what='' settings=(threshold=0 max-detections=5)
  still="videotestsrc num-buffers=1 ! video/x-raw,width=640,height=426"
  run "$build/tests/make-model" "$model"
  result "a network of made-up weights" $?
fi
# By way of RGB: videoconvert 1.22 scales only the luma when it turns full-range I420 (JPEG) into limited-range I420.
frozen="$still ! videoconvert ! video/x-raw,format=BGRx ! imagefreeze"
yuv="videoconvert ! video/x-raw,format=I420,colorimetry=bt601"
# shellcheck disable=SC2086
run gst-launch-1.0 -q $frozen num-buffers=10 ! video/x-raw,framerate=10/1 ! $yuv ! x264enc bitrate=4000 ! mp4mux ! \
  filesink location="$dir/in.mp4"
result "a video to look at" $?
live="$frozen is-live=true ! video/x-raw,framerate=25/1 ! $yuv"

# --------------------------------------------------------------------------------- every script

scripts=$(cd "$source/pipelines" && grep -l common.sh -- *.sh | grep -v '^common.sh$')
for script in $scripts; do
  run "$source/pipelines/$script" --help
  grep -q "^  pipelines/$script MODEL" "$dir/out" && grep -q -e "--sink ELEMENTS" "$dir/out"
  result "$script --help" $?
  (
    unset DEIM_MODEL
    run "$source/pipelines/$script" a b c d
  )
  [ $? = 1 ] && grep -q "^$script: no MODEL is given" "$dir/err"
  result "$script without a model" $?
  run "$source/pipelines/$script" "$model" --nonsense
  [ $? = 1 ] && grep -q "there is no option --nonsense" "$dir/err"
  result "$script with an unknown option" $?
done

run "$source/pipelines/camera.sh" "$model" --print -- threshold=0.3
grep -q "^gst-launch-1.0 -e v4l2src device=/dev/video0 ! .* threshold=0.3 ! .* autovideosink$" "$dir/out"
result "camera.sh takes the first camera" $?
run env DEIM_MODEL="$model" "$source/pipelines/camera.sh" "$live" --frames 20 \
  --sink "pngenc ! multifilesink location=$pictures/camera-%02d.png" -- "${settings[@]}"
result "camera.sh with a source for a camera" $?
is_picture "$pictures/camera-01.png" 640 426
result "what it showed" $?

run "$source/pipelines/json.sh" "$model" "$dir/in.mp4" -- "${settings[@]}"
result "json.sh" $?
found_in_lines 10
result "its lines" $?

grep -q "^Setting pipeline to PLAYING" "$dir/err"
result "what is said besides goes to the standard error" $?
echo before > "$dir/lines"
"$source/pipelines/json.sh" "$model" "$dir/in.mp4" -- "${settings[@]}" 2> "$dir/err" >> "$dir/lines" < /dev/null
[ "$(head -n 1 "$dir/lines")" = before ] && [ "$(wc -l < "$dir/lines")" = 11 ]
result "json.sh >> a file keeps what it held" $?
"$source/pipelines/json.sh" "$model" "$dir/in.mp4" -- "${settings[@]}" 2> "$dir/err" < /dev/null | cat > "$dir/out"
found_in_lines 10
result "json.sh into a pipe" $?

# Exactly the first frames, though the decoder has more of them when the end is declared.
run "$source/pipelines/json.sh" "$model" "$dir/in.mp4" --frames 3 -- "${settings[@]}"
result "json.sh --frames 3" $?
cp "$dir/out" "$dir/first"
found_in_lines 3 && run "$source/pipelines/json.sh" "$model" "$dir/in.mp4" -- "${settings[@]}" &&
  [ "$(head -n 3 "$dir/out" | grep -o '"pts": [0-9]*')" = "$(grep -o '"pts": [0-9]*' "$dir/first")" ]
result "they are the first three" $?
for wrong in '' two 0 -1; do
  run "$source/pipelines/json.sh" "$model" "$dir/in.mp4" --frames $wrong
  [ $? = 1 ] && [ "$(cat "$dir/err")" = "json.sh: --frames wants a number, 1 or more" ]
  result "--frames '$wrong'" $?
done
cp "$dir/in.mp4" "$dir/my clip.mp4"
run "$source/pipelines/json.sh" "$model" "$dir/my clip.mp4" --frames 1 -- "${settings[@]}"
result "json.sh with a space in the file's name" $?
found_in_lines 1
result "its line" $?
run "$source/pipelines/json.sh" "$model" "file://$dir/my%20clip.mp4" --frames 1 -- "${settings[@]}"
result "json.sh with a file:// URI" $?
found_in_lines 1
result "its line" $?

run "$source/pipelines/file.sh" "$model" "$dir/in.mp4" "$dir/out.avi"
[ $? = 1 ] && grep -q "OUTPUT ends with" "$dir/err"
result "file.sh to a kind of file that it does not write" $?
run "$source/pipelines/file.sh" "$model" "$dir/in.mp4" "$dir/out.mp4" -- "${settings[@]}"
result "file.sh" $?
run gst-launch-1.0 -q filesrc location="$dir/out.mp4" ! decodebin ! videoconvert ! pngenc ! \
  multifilesink location="$pictures/file-%02d.png"
is_picture "$pictures/file-09.png" 640 426 && [ ! -e "$pictures/file-10.png" ]
result "ten frames in its video" $?

run "$source/pipelines/wall.sh" "$model" "$dir/in.mp4" 'videotestsrc pattern=ball num-buffers=10' "$dir/in.mp4" \
  'videotestsrc pattern=smpte num-buffers=10' --sink "pngenc snapshot=true ! filesink location=$pictures/wall.png" \
  -- "${settings[@]}"
result "wall.sh" $?
is_picture "$pictures/wall.png" 1280 720
result "its picture" $?

# GStreamer's own overlay, from 1.24 on: it must draw something, and the picture is there to be looked at.
if gst-inspect-1.0 --exists objectdetectionoverlay; then
  for overlay in identity objectdetectionoverlay; do
    # shellcheck disable=SC2086
    run gst-launch-1.0 -q $still ! videoconvert ! video/x-raw,format=BGRx ! \
      deimdetect model="$model" meta=analytics "${settings[@]}" ! $overlay ! videoconvert ! pngenc ! \
      filesink location="$pictures/$overlay.png"
    is_picture "$pictures/$overlay.png" 640 426
    result "a picture by $overlay" $?
  done
  ! cmp -s "$pictures/identity.png" "$pictures/objectdetectionoverlay.png"
  result "objectdetectionoverlay draws what deimdetect attached" $?
else
  skip "objectdetectionoverlay" "GStreamer has it from 1.24 on"
fi

# ------------------------------------------------------------------------- with a broker and a server

free_port ()
{
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

PATH=$PATH:/usr/sbin
if ! gst-inspect-1.0 --exists --atleast-version=0.1 deimmqtt; then
  skip "mqtt.sh" "this build has no deimmqtt"
elif ! command -v mosquitto > /dev/null || ! command -v mosquitto_sub > /dev/null; then
  skip "mqtt.sh" "mosquitto and mosquitto-clients are not installed"
else
  port=$(free_port)
  printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" > "$dir/mosquitto.conf"
  mosquitto -c "$dir/mosquitto.conf" > /dev/null 2>&1 &
  broker=$!
  # A reader who comes once, so that the broker keeps for it what is published from then on.
  run "$source/pipelines/mqtt.sh" "$model" "$dir/in.mp4" "[::1]:1884" --print
  grep -q " deimmqtt host=::1 port=1884 topic='cameras/{stream}' ! " "$dir/out"
  result "mqtt.sh with an IPv6 address and a port" $?
  run "$source/pipelines/mqtt.sh" "$model" "$dir/in.mp4" "[::1]" --print
  grep -q " deimmqtt host=::1 port=0 " "$dir/out"
  result "mqtt.sh with an IPv6 address" $?
  for wrong in ::1 :1883 localhost:http; do
    run "$source/pipelines/mqtt.sh" "$model" "$dir/in.mp4" "$wrong" --print
    [ $? = 1 ] && grep -q "^mqtt.sh: .*brackets\|^mqtt.sh: this is no broker" "$dir/err"
    result "mqtt.sh with the broker $wrong" $?
  done
  reader=(mosquitto_sub -p "$port" -c -i reader -q 1 -t 'test/#')
  for _ in $(seq 100); do
    run "${reader[@]}" -E && break
    sleep 0.1
  done
  run "$source/pipelines/mqtt.sh" "$model" "$dir/in.mp4" "localhost:$port" test/gate --sink fakesink -- "${settings[@]}"
  result "mqtt.sh" $?
  run "${reader[@]}" -C 10 -W 30
  found_in_lines 10
  result "what arrived at the broker" $?
  run "$source/pipelines/mqtt.sh" "$model" "$dir/in.mp4" "localhost:$(free_port)" --sink fakesink
  grep -q "cannot be reached: Connection refused; check host and port" "$dir/err" "$dir/out"
  result "mqtt.sh without a broker says so" $?
fi

if [ ! -x "$build/tests/rtsp-server" ]; then
  skip "rtsp.sh" "built without gst-rtsp-server"
elif ! gst-inspect-1.0 --exists x264enc; then
  skip "rtsp.sh" "no x264enc"
else
  mkfifo "$dir/address"
  "$build/tests/rtsp-server" "( $live ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=4000 !
    rtph264pay name=pay0 config-interval=-1 )" > "$dir/address" 2> /dev/null &
  server=$!
  read -r address < "$dir/address"
  run "$source/pipelines/rtsp.sh" "$model" "$address" --frames 30 \
    --sink "pngenc ! multifilesink location=$pictures/rtsp-%02d.png" -- "${settings[@]}"
  result "rtsp.sh" $?
  is_picture "$pictures/rtsp-20.png" 640 426
  result "what it showed" $?
fi

# ---------------------------------------------------------------------------------------- samples

# The samples keep to a threshold of 0.5, which the made-up network does not reach.
run "$build/pipelines/appsink" "$model" "file://$dir/in.mp4"
status=$?
[ $status = 0 ] && { [ -z "$what" ] || [ "$(grep -c "  $what .* at " "$dir/out")" = 10 ]; }
result "appsink" $?
run "$build/pipelines/appsink" "$model" file:///nowhere.mp4
[ $? = 1 ] && grep -q "^appsink: " "$dir/err"
result "appsink with a file that is not there" $?

# shellcheck disable=SC2086
run gst-launch-1.0 -q $still ! videoconvert ! video/x-raw,format=RGB ! avenc_ppm ! filesink location="$dir/in.ppm"
run "$build/pipelines/embed" "$model" "$dir/in.ppm"
status=$?
[ $status = 0 ] && { [ -z "$what" ] || grep -q "in.ppm: $what 0.8" "$dir/out"; }
result "embed" $?
run "$build/pipelines/embed" "$model" "$0"
[ $? = 1 ] && grep -q "no binary PPM" "$dir/err"
result "embed with something else than a picture" $?

python=
for candidate in python3 /usr/bin/python3; do
  ! "$candidate" -c 'import gi; gi.require_version("GstVideo", "1.0")' 2> /dev/null || python=${python:-$candidate}
done
if [ -z "$python" ]; then
  skip "read-metadata.py" "python3-gi or gir1.2-gst-plugins-base-1.0 is not installed"
else
  run "$python" "$source/pipelines/samples/read-metadata.py" "$model" "file://$dir/in.mp4"
  status=$?
  [ $status = 0 ] && { [ -z "$what" ] || [ "$(grep -c "  $what .* at " "$dir/out")" = 10 ]; }
  result "read-metadata.py" $?
  run "$python" "$source/pipelines/samples/read-metadata.py" --help
  grep -q "read-metadata.py MODEL URI" "$dir/out"
  result "read-metadata.py --help" $?
fi
for sample in appsink embed; do
  run "$build/pipelines/$sample" --help
  grep -q "^usage: $sample MODEL" "$dir/out"
  result "$sample --help" $?
done

echo "1..$n"
