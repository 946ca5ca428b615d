# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the small golden sets of this folder from the full ones:  reduce.py GOLDEN_FOLDER

Same form, less of it: the noise picture only, all tokens and boxes, logits of every sixth query, 12 samples of each
tap, names, shapes and checksums of the parameters (their values come from the rule)."""
import json
import pathlib
import struct
import sys

SETS = ("deimv2_atto_320x320_1 deimv2_n_384x640_1 deim_dfine_n_320x320_1 dfine_n_320x320_1 deim_r18_320x320_1 "
        "rtdetrv2_r18_320x320_1 rtdetr_r18_320x320_1 rtdetrv2_hgl_320x320_1 rtdetr_dla34_320x320_1 "
        "var_n_discrete_320x320_1 var_n_one2many_320x320_1 deim_dfine_s_384x640_1 deimv2_femto_416x416_1").split()
SAME_PARAMS = {"dfine_n": "deim_dfine_n", "var_n_discrete": "deim_dfine_n", "var_n_one2many": "deim_dfine_n"}
SAME_SUMS = {"rtdetrv2_r18": "rtdetrv2_r18_dsp"}  # sampled otherwise, with the same tensors; it has no sums of its own
KEEP = ("image image_seed topk_boundary_gap logits_maxdiff_f64 boxes_maxdiff_f64").split()
EVERY = 6
SAMPLES = 12


def read(full, place, kind):
    n = 1
    for side in place["shape"]:
        n *= side
    return struct.unpack_from("<%d%s" % (n, kind), full, place["offset"])


def reduce_set(source, target, name):
    golden = json.loads((source / "open" / (name + ".json")).read_text())
    full = (source / "open" / (name + ".bin")).read_bytes()
    case = golden["cases"][0]
    queries, classes = case["logits"]["shape"]
    rows = list(range(0, queries, EVERY))
    logits = read(full, case["logits"], "f")
    small = bytearray()
    out = {key: case[key] for key in KEEP}

    def put(key, kind, shape, values):
        out[key] = {"offset": len(small), "shape": shape, "dtype": kind + "4"}
        small.extend(struct.pack("<%d%s" % (len(values), kind), *values))

    put("logits", "f", [len(rows), classes], [x for r in rows for x in logits[r * classes:(r + 1) * classes]])
    put("logits_rows", "i", [len(rows)], rows)
    put("boxes", "f", [queries, 4], read(full, case["boxes"], "f"))
    put("topk_index", "i", [queries], read(full, case["topk_index"], "i"))
    out["taps"] = [{**{k: v for k, v in tap.items() if k != "rms_f64"}, "values": tap["values"][:SAMPLES]}
                   for tap in case["taps"]]
    model = SAME_PARAMS.get(golden["model"], golden["model"])
    result = {key: golden[key] for key in ("format", "model", "override", "H", "W", "seed", "arch")}
    result["params"] = "arch/%s.params.json" % model
    result["cases"] = [out]
    (target / "open" / (name + ".json")).write_text(json.dumps(result, separators=(",", ":")) + "\n")
    (target / "open" / (name + ".bin")).write_bytes(bytes(small))
    return model


def reduce_params(source, target, model):
    params = json.loads((source / "arch" / (model + ".params.json")).read_text())
    rows = []
    for row in params["params"]:
        name, shape, dtype, rule = row[:4]
        if rule == "alias":
            rows.append([name, shape, dtype, rule, row[4]])
        else:
            rows.append([name, shape, dtype, rule if rule in ("const", "zero_i64") else "rule"])
    text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (target / "arch" / (model + ".params.json")).write_text(
        '{"model":"%s","params":[\n%s\n]}\n' % (model, text))


def reduce_sums(source, target, model):
    """CRC-32 of every tensor that the rule makes, one a line; the others are constants, and names of these."""
    made = {row[0] for row in json.loads((target / "arch" / (model + ".params.json")).read_text())["params"]
            if row[3] == "rule"}
    sums = json.loads((source / "arch" / (SAME_SUMS.get(model, model) + ".crc.json")).read_text())
    lines = ",\n".join('"%s":%d' % (name, value) for name, value in sums.items() if name in made)
    (target / "arch" / (model + ".crc.json")).write_text("{\n%s\n}\n" % lines)


def main():
    source = pathlib.Path(sys.argv[1])
    target = pathlib.Path(__file__).parent
    models = {reduce_set(source, target, name) for name in SETS}
    for model in sorted(models):
        reduce_params(source, target, model)
        reduce_sums(source, target, model)


main()
