"""What is looked at before a state is kept, and fp16: its scale, its clipping, its steps that are left out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from kdcore import Interrupted, RunFailed, compat, run
from kdcore.run import loop, measures
from kdcore.run.accelerator import make_accelerator
from kdcore.run.finite_checks import check_finite
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.spec.models import RunSpec

TEACHER = {"model": "resnet10t", "small_input": True, "options": {"channels": [8, 8, 8, 8]}}
# fp16 convolutions are slow on most CPUs, its matrix products are not
VIT = {
    "model": "vit_tiny_patch16_224",
    "options": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8, "drop_rate": 0.2},
}


def _scaler(scale: float) -> torch.amp.GradScaler:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    scaler.scale(torch.ones(1))  # it makes its tensors when they are first needed
    return scaler


def test_a_weight_that_is_not_finite_is_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    check_finite(model, None, 3, None)
    with torch.no_grad():
        model[1].bias[0] = float("nan")
    with pytest.raises(
        RunFailed, match=r"^weight 1\.bias became NaN .* by step 3.*last good checkpoint is of step 2\."
    ):
        check_finite(model, None, 3, 2)


def test_running_statistics_and_averages_are_looked_at_and_masks_are_not():
    model, average = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), nn.Linear(2, 2)
    model[0].register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    check_finite(model, None, 3, 2, {"the student's average": average})
    model[1].running_var[0] = torch.inf
    with pytest.raises(
        RunFailed, match=r"^running statistic 1\.running_var became NaN or infinite by step 3,"
    ):
        check_finite(model, None, 3, 2)
    model[1].running_var[0] = 1
    average.weight.data[0, 0] = torch.nan
    with pytest.raises(RunFailed, match=r"^weight weight of the student's average became NaN"):
        check_finite(model, None, 3, 2, {"the student's average": average})


def test_an_average_that_is_not_finite_is_not_kept(spec_file, monkeypatch):
    update = loop.Training.take_step

    def poisoned(self: loop.Training) -> None:
        update(self)
        next(self.ema.module.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(loop.Training, "take_step", poisoned)
    path = spec_file(train={"epochs": 1, "ema": 0.9})
    with pytest.raises(
        RunFailed, match=r"^weight \S+ of the student's average became NaN .* no checkpoint yet"
    ):
        run(path, quiet=True)


def test_logits_of_the_student_that_are_not_finite_are_a_warning(spec_file, monkeypatch, capsys):
    real = measures.evaluate
    monkeypatch.setattr(
        measures, "evaluate", lambda *args, **more: replace(real(*args, **more), not_finite=7)
    )
    run(spec_file(train={"epochs": 1, "ema": 0.9}))
    said = capsys.readouterr().err
    for which in ("the student", "the student's average"):
        assert f"{which}: its logits are NaN or infinite for 7 of the evaluation images" in said


def test_a_scale_that_has_fallen_to_nothing_is_told():
    check_finite(nn.Linear(2, 2), _scaler(2.0**-14), 9, None)
    with pytest.raises(RunFailed, match=r"in fp16 even with a loss scale of 3\.05176e-05.*no checkpoint yet"):
        check_finite(nn.Linear(2, 2), _scaler(2.0**-15), 9, None)


def test_a_finite_loss_with_a_gradient_that_is_not_ends_the_run_before_it_is_kept(spec_file, monkeypatch):
    update = loop.Training.take_step

    def poisoned(self: loop.Training) -> None:
        if self.state.step == 4:  # the first of the second epoch
            next(self.student.parameters()).grad[0] = float("inf")
        update(self)

    monkeypatch.setattr(loop.Training, "take_step", poisoned)
    path = spec_file(train={"batch_size": 10, "epochs": 2}, checkpoint={"minutes": 1e-9})
    with pytest.raises(RunFailed, match=r"weight student\.\S+ became NaN or infinite by step 5.*of step 4"):
        run(path, quiet=True)
    folder = path.parent / "runs" / "tiny" / "checkpoints"
    state = Checkpoints(folder).load(pytest.fail)
    assert state is not None
    assert state["position"]["step"] == 4
    assert all(value.isfinite().all() for value in state["distillation"].values())


def test_fp16_unscales_before_it_clips_and_leaves_out_steps_that_overflow():
    spec = {"student": {"model": "resnet18"}, "distiller": "vanilla", "train": {"precision": "fp16"}}
    accelerator = make_accelerator(RunSpec.model_validate(spec))
    model = nn.Linear(4, 1, bias=False)
    nn.init.ones_(model.weight)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    with accelerator.autocast():
        output = model(torch.ones(2, 4))
    assert model.weight.dtype == torch.float32
    accelerator.backward(0.5 * output.float().mean())
    assert model.weight.grad.tolist() == [[32768.0] * 4]  # scaled
    accelerator.clip_grad_norm_(model.parameters(), 0.5)
    # unscaled, then clipped from norm 1
    torch.testing.assert_close(model.weight.grad, torch.full((1, 4), 0.25))
    optimizer.step()
    optimizer.zero_grad()
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 4), 0.75))

    accelerator.backward(model(torch.full((2, 4), 1e30)).float().mean() * 1e30)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 4), 0.75))
    assert accelerator.scaler.get_scale() == 32768
    compat.reset_accelerate()


def test_a_run_in_fp16_goes_on_to_the_same_end(spec_file, monkeypatch):
    changes = {
        "teacher": TEACHER,
        "student": VIT,
        "distiller": "kd",
        "train": {"precision": "fp16", "batch_size": 8, "clip_grad": 1.0},
        "data": {"eval_samples": 20},
    }
    dtypes = set()
    forward = nn.Linear.forward

    def seen(self, images):
        dtypes.add(forward(self, images).dtype)
        return forward(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, "forward", seen)
        straight = run(spec_file("straight", **changes), quiet=True)
    assert torch.float16 in dtypes  # and float32 where shapes are probed
    update = loop.Training.take_step

    def stopping(self: loop.Training) -> None:
        update(self)
        if self.state.step == 6:
            import signal

            self.context.stop.signal = signal.SIGTERM

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "take_step", stopping)
        with pytest.raises(Interrupted):
            run(spec_file("stopped", **changes), quiet=True)
    stopped = straight.directory.with_name("stopped")
    state = Checkpoints(stopped / "checkpoints").load(pytest.fail)
    assert state is not None
    assert state["scaler"]["scale"] > 1
    run(spec_file("stopped", **changes), quiet=True)
    last = [Checkpoints(folder / "checkpoints").load(pytest.fail) for folder in (straight.directory, stopped)]
    assert last[0]["scaler"] == last[1]["scaler"]
    for name, value in last[0]["distillation"].items():
        assert torch.equal(value, last[1]["distillation"][name]), name
    text = [(folder / "metrics.jsonl").read_text() for folder in (straight.directory, stopped)]
    one, other = ([json.loads(line)["loss"] for line in lines.splitlines()] for lines in text)
    assert one == other
