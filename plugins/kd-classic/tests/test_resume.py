"""A run of the methods with state of their own, paused and continued, ends with the same bits as one that was not."""

from __future__ import annotations

from typing import Any

import pytest
from safetensors.torch import load_file

from kdcore import run


def spec(folder: str) -> dict[str, Any]:
    """CTKD has a learned temperature, PS-KD a table of predictions, and DML two more networks that are trained."""
    tiny = {"model": "resnet10t", "options": {"channels": [4, 4, 8, 8], "stem_width": 4}}
    return {
        "name": "state",
        "output": folder,
        "data": {
            "dataset": "digits",
            "image_size": 16,
            "train_samples": 20,
            "eval_samples": 10,
            "workers": 0,
        },
        "teacher": [{"name": name, **tiny, "learns": True} for name in ("one", "two")],
        "student": tiny,
        "distiller": [{"name": "ctkd", "teacher": "one"}, "pskd", "dml"],
        "task": {"weight": 1.0},
        "train": {"epochs": 3, "batch_size": 10},
    }


def test_a_paused_run_continues_to_the_bit(tmp_path):
    pytest.importorskip("sklearn")
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    run(spec(whole), quiet=True)
    assert run(spec(parts), until=2, quiet=True).summary["status"] == "paused"
    run(spec(parts), quiet=True)
    one, other = (
        load_file(tmp_path / name / "state" / "student" / "model.safetensors") for name in ("whole", "parts")
    )
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)
