# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the small training cases of this folder from the full ones:  reduce.py GOLDEN_FOLDER

Same form, less of it: no inputs (both sides make them from the rule), the matrix of costs of two cases, some entries
of each gradient beside its sums."""
import json
import pathlib
import sys

COSTS = ("a_4_9", "e_9_9_edge")
SAMPLES = 40
DROPPED = ("inputs", "bin", "prng", "fgl_target", "fgl_weight_right", "fgl_weight_left",
           "indices_f64_equal")


def reduce_gradient(gradient):
    if "full" in gradient:
        values = gradient["full"]
        places = [i for i, v in enumerate(values) if v != 0]
        places = places[::max(1, len(places) // SAMPLES)][:SAMPLES]
        return {"shape": gradient["shape"], "index": places, "value": [values[i] for i in places],
                "sum": float("%.9g" % sum(values)), "sum_abs": float("%.9g" % sum(abs(v) for v in values))}
    return {key: gradient[key][:SAMPLES] if key in ("index", "value") else gradient[key]
            for key in ("shape", "index", "value", "sum", "sum_abs")}


def reduce_case(source):
    case = json.loads(source.read_text())
    if "grad" in case:
        case["grad"] = {name: reduce_gradient(gradient) for name, gradient in case["grad"].items()}
    if case["case"] not in COSTS:
        case.pop("cost", None)
    return {key: value for key, value in case.items() if key not in DROPPED}


def main():
    target = pathlib.Path(__file__).parent
    for source in sorted(pathlib.Path(sys.argv[1], "train").glob("*.json")):
        text = json.dumps(reduce_case(source), separators=(",", ":"))
        (target / source.name).write_text(text + "\n")


main()
