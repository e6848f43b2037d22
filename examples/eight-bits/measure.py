"""Trains a student in 32 bits and with the transform `int8`, exports both in 8 bits, and writes what they reach.

python measure.py FOLDER [SEED...]    # writes FOLDER/record.json, and next to it the environment of the last run
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from kd_export import export

import kdcore

SPEC: Final = Path(__file__).with_name("student.json")
WAYS: Final = {"fp32": "null", "int8": "int8"}
FORMATS: Final = ("onnx", "openvino")


def measured(seed: int) -> dict[str, Any]:
    """Top-1 in percent on the test images: of both students in PyTorch, and of their 8-bit exports."""
    found: dict[str, Any] = {"seed": seed}
    for way, transform in WAYS.items():
        changes = (f"seed={seed}", f"name=eight-bits-{way}-{seed}", f"student.transform={transform}")
        done = kdcore.run(SPEC, overrides=changes, quiet=True)
        exports = {to: export(done.directory, to, int8=True, force=True) for to in FORMATS}
        checks = {to: one.check for to, one in exports.items()}
        found[way] = {
            "student": done.summary["student"]["top1"],
            "teacher": done.summary["teacher"]["top1"],
            "seconds": round(done.summary["wall_seconds"], 1),
            **{to: check.top1 for to, check in checks.items() if check is not None},
            "same": {to: check.same_top1 for to, check in checks.items() if check is not None},
            "images": next(check.images for check in checks.values() if check is not None),
            "bytes": exports["onnx"].files["model.onnx"],
        }
        environment = (done.directory / "environment.json").read_text("utf-8")
        (Path(sys.argv[1]) / "environment.json").write_text(environment, "utf-8")
    return found


if __name__ == "__main__":
    file = Path(sys.argv[1]) / "record.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    records = json.loads(file.read_text("utf-8")) if file.is_file() else []
    for seed in map(int, sys.argv[2:] or ("0", "1", "2")):
        records = [one for one in records if one["seed"] != seed] + [measured(seed)]
        file.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
