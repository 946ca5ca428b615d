#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-tools.sh DEIM SOURCE_ROOT - the command line of `deim`: help, errors, exit status, formats of the output. TAP.
deim=$1
shared=${DEIM_SHARED:-$2/../shared}
model=$shared/real/deimv2_hgnetv2_atto_coco.safetensors
photos=$shared/real/open
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0

# What sanitizers report is found by its words, since one leak is none of ours: GLib leaves its first table of 2048
# quarks (16384 bytes) behind when GStreamer needs more of them, made so early that no suppression can name it.
LSAN_OPTIONS=$LSAN_OPTIONS:exitcode=0
export LSAN_OPTIONS
sanitary () {
  ! grep -e "ERROR: AddressSanitizer" -e "runtime error:" -e "leak of" "$dir/err" |
    grep -qv "^Direct leak of 16384 byte(s) in 1 object(s)"
}

# expect NAME STATUS WORDS COMMAND...: runs it; its status must be STATUS, and WORDS (a grep pattern) in what it says.
expect () {
  name=$1 want=$2 words=$3
  shift 3
  n=$((n + 1))
  "$@" >"$dir/out" 2>"$dir/err" </dev/null
  got=$?
  if [ $got -eq "$want" ] && sanitary && grep -q -e "$words" "$dir/out" "$dir/err"; then
    echo "ok $n $name"
  else
    echo "not ok $n $name"
    echo "# status $got, expected $want with \"$words\" in:"
    sed 's/^/# /' "$dir/out" "$dir/err"
  fi
}

# holds NAME FILE WORDS: FILE of the last command has a line with WORDS.
holds () {
  n=$((n + 1))
  if grep -q -e "$3" "$2"; then echo "ok $n $1"; else echo "not ok $n $1"; sed 's/^/# /' "$2"; fi
}

expect "no subcommand" 2 "detect " "$deim"
expect "unknown subcommand" 2 'unknown subcommand "dettect"; there are info, convert, detect, run, eval, bench, tune, dataset, train' "$deim" dettect
expect "help" 0 "Exit status" "$deim" --help
expect "version" 0 "^deim [0-9]" "$deim" --version
for tool in info convert detect run eval bench tune dataset train; do
  expect "$tool --help" 0 "deim $tool " "$deim" $tool --help
  expect "$tool without arguments" 2 "^deim $tool: .*" "$deim" $tool
  expect "$tool with an unknown option" 2 "^deim $tool: .*--nonsense" "$deim" $tool --nonsense
done

expect "missing model" 1 "^deim info: .*nowhere.pth" "$deim" info "$dir/nowhere.pth"
echo "not a checkpoint" >"$dir/text.pth"
expect "model of no kind" 1 "^deim info: .*text.pth" "$deim" info "$dir/text.pth"
expect "list of architectures" 0 "^deimv2_atto  *DEIMv2  *Atto  *HGNetv2 Atto  *320x320  *100  *80$" "$deim" info --list
holds "another row of it" "$dir/out" "^rtdetr_r50m  *RT-DETR  *R50-M  *PResNet-50  *640x640  *300  *80$"
expect "unknown precision" 2 "use auto, fp32 or fp16" "$deim" detect m.pth a.jpg --precision fp8
expect "threshold out of range" 2 "give 0 to 1" "$deim" detect m.pth a.jpg --threshold 7
expect "detect without input" 2 "INPUT missing" "$deim" detect m.pth
expect "run without output" 2 "output DIR missing" "$deim" run m.pth --input x.npy
expect "run with a missing input" 1 "x.npy" "$deim" run m.pth --input "$dir/x.npy" --output "$dir"
expect "convert without an output" 2 "give the checkpoint and the file to write" "$deim" convert m.pth
expect "convert into another format" 2 "m.onnx: what is written is .safetensors" "$deim" convert m.pth m.onnx
expect "convert a missing file" 1 "nowhere.pth" "$deim" convert "$dir/nowhere.pth" "$dir/new.safetensors"
expect "no frames" 2 "frames must be" "$deim" bench m.pth --frames 0
for wrong in -1 0 17; do
  expect "$wrong frames in flight" 2 "in-flight must be" "$deim" bench m.pth --in-flight "$wrong"
done
expect "tune of no frames" 2 "frames must be" "$deim" tune m.pth --frames 0
expect "tune --forget of a model" 2 "takes no MODEL" "$deim" tune m.pth --forget
expect "eval without pictures" 2 "images DIR missing" "$deim" eval m.pth --annotations a.json
for wrong in -1 7 nan; do
  expect "eval with threshold $wrong" 2 "give 0 to 1" "$deim" eval --from-detections d.json --annotations a.json -t "$wrong"
done
expect "eval with both sources" 2 "exclude each other" "$deim" eval m.pth --from-detections d.json --annotations a.json

cat >"$dir/truth.json" <<END
{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 3, "name": "cat"}],
 "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 50, 50]}]}
END
echo '[{"image_id": 1, "category_id": 3, "bbox": [10, 10, 50, 50], "score": 0.5}]' >"$dir/found.json"
expect "scores of a file" 0 '"AP": 1, "AP50": 1, .*"APs": -1, "APm": 1,' \
  "$deim" eval --from-detections "$dir/found.json" --annotations "$dir/truth.json" --json
expect "table of scores" 0 "^ Average Precision  (AP) @\[ IoU=0.50:0.95 | area=   all | maxDets=100 \] = 1.000" \
  "$deim" eval --from-detections "$dir/found.json" --annotations "$dir/truth.json"
expect "threshold of scores" 0 '"detections": 0, "AP": 0,' \
  "$deim" eval --from-detections "$dir/found.json" --annotations "$dir/truth.json" --json --threshold 0.6
sed 's/50\]/"50"]/' "$dir/truth.json" >"$dir/broken.json"
expect "broken annotations" 1 "broken.json: annotations\[0\]: \"bbox\"\[3\]" \
  "$deim" eval --from-detections "$dir/found.json" --annotations "$dir/broken.json"
expect "missing annotations" 1 "nowhere.json does not exist" \
  "$deim" eval --from-detections "$dir/found.json" --annotations "$dir/nowhere.json"

expect "synth without a count" 2 "count must be 1 to" "$deim" dataset synth --output "$dir/shapes"
expect "synth of an unknown split" 2 "use default, hard or sparse" \
  "$deim" dataset synth --output "$dir/shapes" --count 1 --split easy
expect "synth" 0 "train  6 pictures of 64 x 96 (height x width), split default, seed 3, 6 classes" \
  "$deim" dataset synth --output "$dir/shapes/train" --count 6 --seed 3 --size 64x96
expect "synth into the same folder" 1 "annotations.json is there already" \
  "$deim" dataset synth --output "$dir/shapes/train" --count 1
expect "synth of another split" 0 "val  2 pictures" \
  "$deim" dataset synth --output "$dir/shapes/val" --count 2 --size 64x96 --split hard
expect "check of a missing folder" 1 "nowhere is no folder" "$deim" dataset check "$dir/nowhere"
expect "check without pictures" 0 "^Pictures  *6 in .*train/images, 0 of them" "$deim" dataset check --quick "$dir/shapes"
holds "its classes" "$dir/out" "^    5  ring  *[0-9]* objects in  *[0-9]* pictures"
for wrong in "--epochs 0" "--epochs -1" "--epoch -1" "--mosaic nan" "--mosaic -1" "--mixup -0.3"; do
  # shellcheck disable=SC2086
  expect "preview $wrong" 2 "must be" "$deim" dataset preview "$dir/shapes" --output "$dir/sheet.png" $wrong
done

expect "train without a model" 2 "model PRESET|CHECKPOINT missing" "$deim" train --data "$dir/shapes" --output "$dir/run"
for wrong in "--epochs 0" "--epochs -1" "--lr 0" "--lr -1" "--mosaic -0.3" "--mixup nan" "--mixup -1" "--lr-end 2" \
  "--lr-end -1"; do
  # shellcheck disable=SC2086
  expect "train $wrong" 2 "must be" "$deim" train --data "$dir/shapes" --model deimv2_atto --output "$dir/run" $wrong
done
if "$deim" dataset check "$dir/shapes/val" 2>&1 | grep -q "this build cannot read"; then
  echo "ok $((n += 1)) # SKIP built without gdk-pixbuf"
else
  expect "check" 0 "^Sizes  *all 96 wide, 64 high" "$deim" dataset check "$dir/shapes"
  expect "preview" 0 "sheet.png  8 pictures of epoch 4 of 160" \
    "$deim" dataset preview "$dir/shapes" --output "$dir/sheet.png" --rows 2 --size 64x64
  expect "preview of no architecture" 2 'there is no architecture "deimv9_z"' \
    "$deim" dataset preview "$dir/shapes" --output "$dir/sheet.png" --recipe deimv9_z
  expect "preview into no folder" 1 "missing/sheet.png cannot be written" \
    "$deim" dataset preview "$dir/shapes" --output "$dir/missing/sheet.png" --rows 1 --size 64x64

  expect "training of an unknown network" 1 'there is no checkpoint "deimv9_z"' \
    "$deim" train --data "$dir/shapes" --model deimv9_z --output "$dir/run"
  expect "training at an impossible size" 1 "must be multiples of 32" \
    "$deim" train --data "$dir/shapes" --model deimv2_atto --output "$dir/run" --input 170x170
  shapes_training () { # OUTPUT OPTION...
    output=$1
    shift
    "$deim" train --data "$dir/shapes" --model deimv2_atto --output "$output" --epochs 2 --batch 2 --input 160x160 \
      --denoising 4 --seed 5 "$@"
  }
  expect "train" 0 "^epoch   2  loss .*AP 0\." shapes_training "$dir/run"
  expect "train over a training" 1 "holds a training already; go on with it (--resume)" shapes_training "$dir/run"
  expect "train with fp16 activations" 0 "^epoch   2  loss .*AP " shapes_training "$dir/half" --half
  expect "which is a setting" 1 'written by a training with "activations fp16"' shapes_training "$dir/half" --resume
  # Killed where the first state has been written, with the second epoch still to come.
  shapes_training "$dir/killed" >"$dir/killed.log" 2>&1 &
  while [ ! -f "$dir/killed/state.safetensors" ] && kill -0 $! 2>/dev/null; do sleep 0.05; done
  kill -9 $!
  wait $! 2>/dev/null
  expect "a training that was killed goes on" 0 "going on in epoch [12] after batch" shapes_training "$dir/killed" --resume
  expect "and ends where the other one did" 0 equal sh -c 'cmp "$1/run/last.safetensors" "$1/killed/last.safetensors" &&
    cmp "$1/run/best.safetensors" "$1/killed/best.safetensors" && echo equal' sh "$dir"
  expect "what was trained" 0 "^Classes  *6 (disc, square, triangle, ...)" "$deim" info "$dir/run/last.safetensors"
  holds "its input size" "$dir/out" "^Input  *160 x 160"
  expect "detect with it" 0 "000000.png" "$deim" detect "$dir/run/last.safetensors" \
    "$dir/shapes/val/images/000000.png" --threshold 0
  # The AP that results.csv tells is the one that `deim eval` finds.
  "$deim" eval "$dir/run/last.safetensors" --images "$dir/shapes/val/images" \
    --annotations "$dir/shapes/val/annotations.json" --precision fp32 --json >"$dir/scores"
  told=$(awk -F, 'NR == 3 { print $11 }' "$dir/run/results.csv")
  found=$(sed -n 's/.*"AP": \([^,]*\),.*/\1/p' "$dir/scores")
  expect "eval of it" 0 equal awk -v a="$told" -v b="$found" \
    'BEGIN { if (a != "" && b != "" && (a - b) ^ 2 <= (1e-6 * a) ^ 2) print "equal" }'

  echo "no picture" >"$dir/shapes/train/images/000004.png"
  expect "check of a broken picture" 1 "000004.png is no picture that can be decoded" \
    "$deim" dataset check "$dir/shapes"
  holds "how many" "$dir/err" "1 of 6 pictures cannot be used"
  expect "preview of a broken picture" 1 "000004.png is no picture" \
    "$deim" dataset preview "$dir/shapes" --output "$dir/sheet.png" --rows 2 --size 64x64
fi
sed 's/"bbox":\[[0-9.]*,/"bbox":[999,/' "$dir/shapes/val/annotations.json" >"$dir/broken.json"
cp "$dir/broken.json" "$dir/shapes/val/annotations.json"
expect "check of a broken annotation" 1 'annotations\[0\] (id 1, of 000000.png): "bbox" 999, .* lies outside' \
  "$deim" dataset check --quick "$dir/shapes/val"

if [ -f "$model" ]; then
  expect "info" 0 "^Architecture  deimv2_atto$" "$deim" info "$model"
  expect "info as JSON" 0 '^{"arch": "deimv2_atto", .*"classes": 80, .*}$' "$deim" info "$model" --json
  printf 'cat\ndog\n' >"$dir/two.txt"
  expect "labels of another count" 1 "^deim info: .*two.txt: it names 2 classes, the model has 80; give" \
    "$deim" info "$model" --labels "$dir/two.txt"
  expect "labels of another count in a conversion" 1 "two.txt: it names 2 classes, the model has 80" \
    "$deim" convert "$model" "$dir/new.safetensors" --labels "$dir/two.txt"
  seq -f 'thing %.0f' 80 >"$dir/things.txt"
  expect "convert" 0 "new.safetensors  deimv2_atto, 80 classes, input 256 x 384" \
    "$deim" convert "$model" "$dir/new.safetensors" --labels "$dir/things.txt" --arch deimv2_atto:input=256x384
  expect "what was converted" 0 "^Classes  *80 (thing 1, thing 2, thing 3, ...)" "$deim" info "$dir/new.safetensors"
  holds "its input size" "$dir/out" "^Input  *256 x 384"
  expect "convert to half precision" 0 "half.safetensors  deimv2_atto" "$deim" convert "$model" --half "$dir/half.safetensors"
  expect "half the size" 0 "smaller" awk -v a="$(wc -c <"$dir/half.safetensors")" -v b="$(wc -c <"$dir/new.safetensors")" \
    'BEGIN { if (a < 0.6 * b) print "smaller" }'
  expect "convert onto itself" 1 "this is the file that the model was read from" \
    "$deim" convert "$dir/new.safetensors" "$dir/new.safetensors"
  expect "convert into no folder" 1 "missing/new.safetensors: cannot be written" \
    "$deim" convert "$dir/new.safetensors" "$dir/missing/new.safetensors"
  expect "device" 0 "^driver" "$deim" info --device
  expect "unknown device" 1 "^deim info: .*no-such-device" "$deim" info --device=no-such-device
  expect "missing picture of an evaluation" 1 "a.jpg does not exist" \
    "$deim" eval "$model" --images "$dir" --annotations "$dir/truth.json"

  echo "no picture" >"$dir/text.jpg"
  expect "bad inputs among good ones" 1 "^deim detect: .*gone.jpg does not exist" "$deim" detect "$model" \
    "$dir/gone.jpg" "$photos/000000404484.jpg" "$dir/text.jpg" "$photos/000000000139.jpg" \
    --json "$dir/found.jsonl" --draw "$dir/drawn" --threshold 0.3
  holds "a file that is no picture" "$dir/err" "^deim detect: .*text.jpg cannot be decoded"
  holds "the good ones" "$dir/out" "in 2 frames"
  holds "a line of JSON" "$dir/found.jsonl" \
    '^{"source": "[^"]*404484.jpg", "frame": 0, "pts": [0-9nul]*, "width": 320, "height": 240, "detections": \[{"label": '
  expect "drawings" 0 "000000000139.png" ls "$dir/drawn"
  expect "JSON on the standard output" 0 '^{"source"' \
    "$deim" detect "$model" "$photos/000000404484.jpg" --json - --threshold 0

  expect "run" 0 "logits.npy  \[1, 100, 80\] float32" \
    "$deim" run "$model" --input "$photos/input_atto_404484.npy" --output "$dir/raw"
  expect "run on a tensor of another shape" 1 "has shape \[1,100,80\]; the network takes \[B,3,H,W\]" \
    "$deim" run "$model" --input "$dir/raw/logits.npy" --output "$dir/raw"
  expect "bench" 0 '"dispatches": [1-9][0-9]*, .*"latency_ms": {"median": [0-9.]*, .*"name": "backbone"' \
    "$deim" bench "$model" --frames 2 --warmup 1 --json
  expect "bench --roofline" 0 "^Peaks  *[0-9.]*[1-9][0-9.]* GFLOP/s on registers, [0-9.]*[1-9][0-9.]* GB/s copying" \
    "$deim" bench "$model" --frames 2 --warmup 1 --roofline "$dir/roof.svg"
  holds "a picture of the roof" "$dir/roof.svg" '<title>[a-z0-9._]* (conv[a-z_]*): [0-9.]* ms, [0-9.]* GFLOP/s, [0-9.]* GB/s</title>'
  expect "bench --roofline that cannot be written" 1 "none/roof.svg" \
    "$deim" bench "$model" --frames 1 --warmup 0 --roofline "$dir/none/roof.svg"
  expect "bench --start" 0 '"start_cold_ms": [0-9.]*[1-9][0-9.]*, "start_warm_ms": [0-9.]*[1-9]' \
    "$deim" bench "$model" --frames 1 --warmup 0 --start --json
  expect "bench of another frame" 0 "^Frame *NV12 96 x 150" \
    "$deim" bench "$model" --frames 2 --frame 96x150 --format NV12 --size 160x192

  # In a cache folder of its own, but for what the driver has compiled, and with what the library has to tell.
  tuned="env MESA_SHADER_CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache} XDG_CACHE_HOME=$dir/cache G_MESSAGES_DEBUG=deim"
  expect "tune" 0 "^Saved in $dir/cache/gst-deim/pipelines-[0-9a-f]*.bin.tuned$" $tuned "$deim" tune "$model" --size 160x160 --frames 1
  holds "its table" "$dir/out" "^conv2d 3x3/2 4>16 80x80 x1 [a-z0-9]*  *1  *[a-z]*-[0-9]*x[0-9]*  *[0-9.]*  .*  [01]\.[0-9]*$"
  expect "a tuning that is used" 0 "tuned: [0-9]* layers are tuned" \
    $tuned "$deim" bench "$model" --size 160x160 --frames 1 --warmup 0
  expect "a tuning of other features" 0 "is of another driver, build or choice of features" \
    $tuned DEIM_DISABLE=winograd "$deim" bench "$model" --size 160x160 --frames 1 --warmup 0
  sed -i '$d' "$dir"/cache/gst-deim/*.tuned
  echo "conv2d: nonsense" >>"$(echo "$dir"/cache/gst-deim/*.tuned)"
  expect "a damaged tuning" 0 'warning: .*tuned is damaged, and not used; run "deim tune" again' \
    $tuned "$deim" bench "$model" --size 160x160 --frames 1 --warmup 0
  expect "tune --forget" 0 "tuned is not there any more" $tuned "$deim" tune --forget
  expect "what is left" 0 none sh -c 'ls "$1"/cache/gst-deim/*.tuned || echo none' sh "$dir"
  # Interrupted where the first variant has been tried, with others still to come.
  $tuned "$deim" tune "$model" --size 160x160 --frames 10 >"$dir/out" 2>"$dir/err" &
  while ! ls "$dir"/cache/gst-deim/*.tuned >"$dir/list" 2>&1 && kill -0 $! 2>/dev/null; do sleep 0.05; done
  kill -INT $!
  wait $!
  holds "tune that is interrupted" "$dir/err" "interrupted; what was found so far is kept"

  # 0.212 from libjpeg-turbo's pixels; what GStreamer's decoders make of the chroma moves it by a hundredth.
  expect "average precision of a model" 0 '"images": 24, ' "$deim" eval "$model" --images "$photos" \
    --annotations "$photos/instances_open24.json" --detections "$dir/own.json" --json
  cp "$dir/out" "$dir/scores"
  holds "its value" "$dir/scores" '"AP": 0.2[012]'
  "$deim" eval --from-detections "$dir/own.json" --annotations "$photos/instances_open24.json" --json >"$dir/again"
  expect "the same from the file that it wrote" 0 equal \
    sh -c 'cmp "$1/scores" "$1/again" && echo equal' sh "$dir"
else
  echo "ok $((n += 1)) # SKIP no shared folder: set DEIM_SHARED"
fi
echo "1..$n"
