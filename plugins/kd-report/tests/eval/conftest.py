from __future__ import annotations

import json

import pytest

from kdcore import run

NARROW = {"channels": [4, 4, 8, 8]}


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """The directory of a run of one epoch, `runs/student`, beside that of its teacher, `runs/teacher`."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    folder = tmp_path_factory.mktemp("evaluation")
    base = {
        "data": {
            "dataset": "digits",
            "image_size": 16,
            "train_samples": 20,
            "eval_samples": 60,
            "workers": 0,
        },
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 10, "ema": 0.5},
    }
    teacher = base | {"student": {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}}}
    student = base | {
        "teacher": {"run": "teacher.json"},
        "student": {"model": "resnet10t", "options": NARROW},
    }
    (folder / "teacher.json").write_text(json.dumps(teacher))
    (folder / "student.json").write_text(json.dumps(student))
    return run(folder / "student.json", quiet=True).directory


@pytest.fixture(scope="session")
def narrow():
    """The options of the student's model."""
    return NARROW
