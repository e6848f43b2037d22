"""Runs whose whole step is compiled: the weights of a run that is not, also when it is resumed; what is refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

import kdcore
from kdcore.distill import compiled_step

NARROW = {"model": "resnet10t", "small_input": True, "options": {"channels": [8, 8, 16, 16]}}
SPEC = {
    "teacher": NARROW,
    "student": NARROW,
    "distiller": [{"name": "dkd", "warmup_epochs": 2}, {"name": "at"}],
    "task": {"weight": 1.0},
    "train": {"accumulate": 2, "clip_grad": 1.0, "ema": 0.9, "precision": "bf16"},
    "data": {"image_size": 32},
}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(compiled_step, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def weights(result):
    return load_file(result.directory / "student" / "model.safetensors")


def test_a_resumed_run_ends_like_one_that_is_not_compiled(spec_file, capsys):
    wanted = weights(kdcore.run(spec_file("plain", **SPEC), quiet=True))
    train = {**SPEC["train"], "compile": "step"}
    spec = spec_file("whole", **{**SPEC, "train": train})
    kdcore.run(spec, quiet=True, until=1)
    found = weights(kdcore.run(spec, quiet=True))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)
    # one for each call, and another when models of earlier runs are gone, however many epochs and steps
    assert counters["stats"]["unique_graphs"] <= 4
    assert "train.compile" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"compile": "steps"}}, "true or false, or 'step'"),
        ({"train": {"compile": "step", "fsdp": "student"}}, "a step is not one function"),
        ({"train": {"compile": "step"}, "distiller": "pskd", "teacher": None}, "'pskd' keeps the tensor"),
    ],
    ids=["name", "fsdp", "memory"],
)
def test_it_is_refused(spec_file, changes, message):
    with pytest.raises(kdcore.UserError, match=message) as caught:
        kdcore.validate(spec_file(**{**SPEC, **changes}))
    assert "train.compile" in str(caught.value)


def test_several_processes_are_refused(spec_file, monkeypatch):
    monkeypatch.setattr("kdcore.run.preflight.launcher.processes", lambda: 2)
    with pytest.raises(kdcore.UserError, match="in a run of 2 processes"):
        kdcore.validate(spec_file(**{**SPEC, "train": {"compile": "step"}}))
