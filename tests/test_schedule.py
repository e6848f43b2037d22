"""The schedule of a distiller: its factor by hand, in a step, in a spec, and in a run."""

from __future__ import annotations

import json
import warnings

import pytest
import timm
import torch

import kdcore
from kdcore import Distillation, Progress, Schedule, UserError

TABLE = {
    "nothing": ({}, 4, [1, 1, 1, 1]),
    "warm-up": ({"warmup_epochs": 4}, 6, [0.25, 0.5, 0.75, 1, 1, 1]),
    "from and until": ({"from_epoch": 1, "until_epoch": 3}, 5, [0, 1, 1, 0, 0]),
    "warm-up from later on": ({"from_epoch": 2, "warmup_epochs": 2}, 5, [0, 0, 0.5, 1, 1]),
    "linear": ({"decay": "linear"}, 4, [1, 0.75, 0.5, 0.25]),
    "linear after a warm-up": ({"decay": "linear", "warmup_epochs": 2}, 6, [0.5, 1, 1, 0.75, 0.5, 0.25]),
    "cosine": ({"decay": "cosine"}, 4, [1, 0.853553, 0.5, 0.146447]),
    "cosine until": ({"decay": "cosine", "until_epoch": 2}, 4, [1, 0.5, 0, 0]),
    "a warm-up that fills it": ({"warmup_epochs": 2, "until_epoch": 2, "decay": "cosine"}, 3, [0.5, 1, 0]),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_factor_of_each_epoch(case):
    fields, epochs, expected = TABLE[case]
    schedule = Schedule(**fields)
    assert [schedule.factor(epoch, epochs) for epoch in range(epochs)] == pytest.approx(expected, abs=1e-6)
    assert [schedule.factor(epoch + 0.9, epochs) for epoch in range(epochs)] == pytest.approx(
        expected, abs=1e-6
    )


def pair():
    torch.manual_seed(0)
    return tuple(timm.create_model("test_resnet", num_classes=3).eval() for _ in range(2))


def step(distillers, epoch, **options):
    pytest.importorskip("kd_classic")
    built = Distillation(*pair(), distillers, num_classes=3, image_size=32, **options)
    torch.manual_seed(1)
    images, target = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    progress = None if epoch is None else Progress(epoch=epoch, step=0, total_steps=10, total_epochs=10)
    return built(images, target, progress=progress)


def test_the_terms_are_multiplied_and_the_task_loss_is_not():
    plain = step("kd", 0.5)
    half = step("kd", 0.5, schedule={"warmup_epochs": 2})
    assert half.terms["kd"].item() == pytest.approx(plain.terms["kd"].item() / 2)
    assert half.task_loss.item() == plain.task_loss.item()
    assert half.loss.item() == pytest.approx(plain.task_loss.item() + plain.terms["kd"].item() / 2)


def test_each_of_several_distillers_has_its_own():
    later = {"name": "kd", "schedule": {"from_epoch": 3}}
    out = step([later, {"name": "kd"}], 0.0, task_weight=1.0)
    assert out.terms["kd.kd"].item() == 0
    assert out.terms["kd_2.kd"].item() > 0
    assert step([later, {"name": "kd"}], 3.0, task_weight=1.0).terms["kd.kd"].item() > 0


def test_a_schedule_without_progress_is_a_warning():
    with pytest.warns(UserWarning, match="distiller 'kd' reads how far the run is"):
        step("kd", None, schedule={"warmup_epochs": 2})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step("kd", None)


WRONG = {
    "order": ({"from_epoch": 3, "until_epoch": 3}, "'until_epoch' must be greater than 'from_epoch'"),
    "warm-up": ({"warmup_epochs": 5, "until_epoch": 4}, "the warm-up must end before 'until_epoch'"),
    "decay": ({"decay": "cosin"}, "did you mean 'cosine'"),
    "key": ({"warmup": 3}, "did you mean 'warmup_epochs'"),
    "negative": ({"from_epoch": -1}, "distiller.schedule.from_epoch"),
    "never": ({"from_epoch": 2}, "the distiller would never take part: the run has 2 epochs, counted from 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_reported_at_its_place(spec_file, case):
    pytest.importorskip("kd_classic")
    fields, text = WRONG[case]
    teacher = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec_file(teacher=teacher, distiller={"name": "kd", "schedule": fields}))
    assert text in str(caught.value)
    assert "distiller.schedule" in str(caught.value)


def test_in_a_run(spec_file):
    pytest.importorskip("kd_classic")
    teacher = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
    path = spec_file(teacher=teacher, distiller={"name": "kd", "schedule": {"from_epoch": 1}})
    result = kdcore.run(path, quiet=True)
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()
    first, second = [json.loads(line) for line in lines]
    assert first["terms"]["kd"] == 0
    assert second["terms"]["kd"] > 0
    spec = json.loads((result.directory / "spec.json").read_text())
    assert spec["distiller"]["schedule"]["from_epoch"] == 1
