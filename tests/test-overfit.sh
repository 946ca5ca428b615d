#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-overfit.sh DEIM SOURCE_ROOT BUILD_ROOT - fine-tunes the published Atto on six photos until it knows them by heart,
# and runs what comes out. TAP. Takes some minutes.
deim=$1
shared=${DEIM_SHARED:-$2/../shared}
model=$shared/real/deimv2_hgnetv2_atto_coco.safetensors
photos=$shared/real/open
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

if [ ! -f "$model" ]; then
  echo "1..0 # SKIP no shared folder: set DEIM_SHARED"
  exit 0
fi
echo "1..4"

# Photos whose objects all measure 12 pixels of the network's input or more: the recipe drops smaller ones.
python3 - "$photos" "$dir" <<'END' || exit 1
import json, os, sys
photos, folder = sys.argv[1:]
names = ["000000404484", "000000385029", "000000359937", "000000417285", "000000343803", "000000165518"]
truth = json.load(open(os.path.join(photos, "instances_open24.json")))
truth["images"] = [i for i in truth["images"] if os.path.splitext(i["file_name"])[0] in names]
ids = {i["id"] for i in truth["images"]}
truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ids]
json.dump(truth, open(os.path.join(folder, "annotations.json"), "w"))
os.symlink(os.path.abspath(photos), os.path.join(folder, "images"))
END

number () { # of key $1 in the last line of results.csv, or in its second with $2 = first
  awk -F, -v key="$1" -v first="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == key) c = i; next }
    { v = $c; if (first) exit } END { print v }' "$dir/run/results.csv"
}
result () { # STATUS NAME
  n=$((n + 1))
  if [ "$1" -eq 0 ]; then echo "ok $n $2"; else echo "not ok $n $2"; fi
}

"$deim" train --data "$dir" --model "$model" --output "$dir/run" --epochs 40 --batch 6 --lr 5e-4 --lr-end 0.1 --light \
  --freeze-norms --denoising 30 --evaluate 20 >"$dir/log" 2>&1
status=$?
sed 's/^/# /' "$dir/log"
result $status "trained"
awk -v a="$(number loss first)" -v b="$(number loss)" 'BEGIN { exit !(b < 0.5 * a) }'
result $? "loss from $(number loss first) to $(number loss)"
awk -v ap="$(number AP)" 'BEGIN { exit !(ap > 0.9) }'
result $? "AP $(number AP)"
GST_PLUGIN_PATH=$3/gst-plugin GST_REGISTRY=$dir/registry.bin gst-launch-1.0 -q filesrc "location=$photos/000000404484.jpg" ! \
  decodebin ! videoconvert ! deimdetect "model=$dir/run/best.safetensors" threshold=0.5 ! deimjson "location=$dir/found" ! \
  fakesink >"$dir/log" 2>&1 && grep -q '"label"' "$dir/found"
status=$?
[ $status -eq 0 ] || sed 's/^/# /' "$dir/log"
result $status "its result runs in deimdetect"
