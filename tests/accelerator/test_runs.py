"""Whole runs on the device: as on the processor, in half precision, cached, compiled, gone on with, out of memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore import RunFailed, run
from kdcore.inspect.open_run import open_run
from kdcore.run import loop
from kdcore.rundir.checkpoints import Checkpoints

pytestmark = [pytest.mark.accelerator, pytest.mark.usefixtures("device")]
TEACHER = {"model": "resnet10t", "small_input": True, "options": {"channels": [8, 8, 16, 16]}}
# fp16 convolutions are slow on most processors, its matrix products are not
VIT = {
    "model": "vit_tiny_patch16_224",
    "options": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8},
}
PAIR: dict[str, Any] = {
    "teacher": TEACHER,
    "student": VIT,
    "distiller": ["kd", "fitnet", "rkd"],
    "task": {"weight": 1.0},
}


def _losses(path: Path) -> list[float]:
    return [record["loss"] for record in run(path, quiet=True).metrics]


def test_a_run_is_the_processors_up_to_rounding(spec_file, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    found = _losses(spec_file("there", **PAIR))
    with monkeypatch.context() as patch:
        patch.setattr(torch.accelerator, "is_available", lambda: False)
        expected = _losses(spec_file("here", **PAIR))
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_ends_near_full_precision(spec_file, precision):
    # without the terms on features, which are large and fall fast: fp16 leaves out its first steps
    changes = {**PAIR, "distiller": "kd"}
    expected = _losses(spec_file("full", **changes))
    path = spec_file("half", **changes, train={"precision": precision, "clip_grad": 10.0})
    assert _losses(path) == pytest.approx(expected, rel=0.1)
    state = Checkpoints(path.parent / "runs" / "half" / "checkpoints").load(pytest.fail)
    assert state is not None
    if precision == "fp16":
        assert state["scaler"]["scale"] > 1
    assert all(value.dtype != torch.float16 for value in state["distillation"].values())


def test_fp16_leaves_out_the_step_that_overflows(spec_file, monkeypatch):
    update, seen = loop.Training.take_step, []

    def overflowing(self: loop.Training) -> None:
        weights = [value.clone() for value in self.student.parameters()]
        scale = self.accelerator.scaler.get_scale()
        if self.state.step == 9:
            next(self.student.parameters()).grad.fill_(float("inf"))
        update(self)
        pairs = zip(self.student.parameters(), weights, strict=True)
        same = all(torch.equal(value, other) for value, other in pairs)
        seen.append((same, self.accelerator.scaler.get_scale() < scale))

    monkeypatch.setattr(loop.Training, "take_step", overflowing)
    path = spec_file("overflow", **PAIR, train={"precision": "fp16", "epochs": 3, "batch_size": 10})
    assert all(math.isfinite(loss) for loss in _losses(path))
    assert all(same == lowered for same, lowered in seen)
    assert seen[9] == (True, True)
    assert seen[-1] == (False, False)


def test_channels_last_and_compiled_are_the_same_run(spec_file, device):
    if device.type == "cpu":
        pytest.skip("compiling for the processor takes minutes")
    settings = {"precision": "bf16", "channels_last": True}
    changes = {**PAIR, "distiller": "kd"}
    expected = _losses(spec_file("eager", **changes, train=settings))
    compiled = spec_file("compiled", **changes, train={**settings, "compile": True})
    assert _losses(compiled) == pytest.approx(expected, rel=0.1)


def test_a_cached_teacher_teaches_as_the_live_one(spec_file):
    # the same augmentation in both epochs, as there is one in the cache
    changes = {**PAIR, "data": {"augment": {"crop": "none"}}}
    cached = spec_file("cached", **changes, teacher_cache={"augmentations": 1, "dtype": "float32"})
    live = spec_file("live", **changes, train={"channels_last": False})
    assert _losses(cached) == pytest.approx(_losses(live), rel=0.01)


def test_a_run_goes_on_where_it_was(spec_file):
    changes = {**PAIR, "train": {"ema": 0.9}}
    straight = _losses(spec_file("straight", **changes))
    parts = spec_file("parts", **changes)
    run(parts, quiet=True, until=1)
    assert _losses(parts) == pytest.approx(straight, rel=0.01)


def test_a_finished_run_is_opened_on_the_device(spec_file, device):
    done = run(spec_file("done", **PAIR), quiet=True)
    opened = open_run(done.directory)
    assert next(opened.student.model.parameters()).device.type == device.type


def test_out_of_memory_says_what_to_change_and_leaves_a_usable_device(spec_file, monkeypatch, device):
    forward = loop.Training._forward_backward

    def greedy(self: loop.Training, *arguments: Any) -> None:
        if self.state.step == 1:
            if device.type == "cpu":
                raise torch.OutOfMemoryError
            torch.empty(2**50, dtype=torch.uint8, device=device)
        forward(self, *arguments)

    path = spec_file("large", **PAIR)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "_forward_backward", greedy)
        with pytest.raises(RunFailed, match=r"out of memory\. Lower train\.batch_size"):
            run(path, quiet=True)
    assert len(_losses(path)) == 2
