from __future__ import annotations

import pytest
from torch import nn

from kdcore import UserError
from kdcore.plugins import get_plugins
from kdcore.run.preflight import check
from kdcore.spec.load import load_dict


def checked(tmp_path, monkeypatch, processes=1, **over):
    """What `kd validate` finds in a run on 1000 digits, with this many processes."""
    monkeypatch.setattr("kdcore.launcher.processes", lambda: processes)
    spec = {
        "name": "norms",
        "output": str(tmp_path),
        "data": {"dataset": "digits", "image_size": 32, "workers": 0, **over.pop("data", {})},
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
        **over,
    }
    plugins = get_plugins()
    return check(load_dict(spec, base=tmp_path, plugins=plugins), plugins)


def problem(*args, **over):
    with pytest.raises(UserError) as caught:
        checked(*args, **over)
    (found,) = caught.value.problems
    return found


TWO_CHANNELS = {"model": "test_resnet"}


@pytest.mark.parametrize(
    ("processes", "train", "data", "where", "number"),
    [
        (1, {"batch_size": 1}, {}, "train.batch_size", "set train.batch_size to at least 2"),
        (
            2,
            {"batch_size": 2},
            {},
            "train.batch_size",
            "set train.batch_size to at least 4, or set train.sync_bn",
        ),
        (1, {"batch_size": 8}, {"train_samples": 1}, "data.train_samples", "use at least 2 images"),
    ],
)
def test_batch_norm_over_one_value(tmp_path, monkeypatch, processes, train, data, where, number):
    student = {"model": "test_resnet"}
    data = {"image_size": 16, **data}
    found = problem(tmp_path, monkeypatch, processes, train=train, data=data, student=student)
    assert found.where == where
    assert found.hint.startswith(number)
    assert "student." in found.message


@pytest.mark.parametrize(
    ("processes", "train", "model", "size"),
    [
        (1, {"batch_size": 1}, "test_vit", 160),
        (1, {"batch_size": 1}, "test_convnext", 32),
        (1, {"batch_size": 2}, "test_resnet", 16),
        (1, {"batch_size": 1}, "test_resnet", 160),  # the deepest map has several values
        (2, {"batch_size": 2, "sync_bn": True}, "test_resnet", 16),
    ],
)
def test_what_has_a_variance_is_allowed(tmp_path, monkeypatch, processes, train, model, size):
    checked(
        tmp_path, monkeypatch, processes, train=train, student={"model": model}, data={"image_size": size}
    )


class Head(nn.Module):
    """A distiller with batch norm on pooled features, which has one value for each image whatever its size."""

    def __init__(self, whole_batch):
        super().__init__()
        from kdcore import Requires

        self.norm = nn.BatchNorm1d(10)
        self.requires = Requires(teacher=False, whole_batch=whole_batch)

    def forward(self, student, teacher, batch, progress):
        return {"head": self.norm(student.logits).mean()}


@pytest.mark.parametrize(
    ("whole_batch", "processes", "refused"), [(False, 1, True), (False, 2, True), (True, 2, False)]
)
def test_heads(monkeypatch, tmp_path, whole_batch, processes, refused):

    from kdcore.run import prepare

    built = prepare.Distillation

    def with_head(*args, **more):
        made = built(*args, **more)
        made.distillers[0] = Head(whole_batch).to("meta")
        return made

    monkeypatch.setattr(prepare, "Distillation", with_head)
    run = {"train": {"batch_size": processes}, "student": {"model": "test_vit"}, "data": {"image_size": 160}}
    if refused:
        assert "the norm distillers.0.norm" in problem(tmp_path, monkeypatch, processes, **run).message
    else:
        checked(tmp_path, monkeypatch, processes, **run)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_instance_norm_of_one_cell(monkeypatch, tmp_path, batch_size):
    from kdcore.distill import models as building

    build = building.build_model

    def with_instance_norm(*args, **more):
        built = build(*args, **more)
        built.model.global_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(64), nn.Flatten(1)
        ).to("meta")
        return built

    monkeypatch.setattr(building, "build_model", with_instance_norm)
    run = {"train": {"batch_size": batch_size}, "data": {"image_size": 160}}
    assert problem(tmp_path, monkeypatch, **run).where == "data.image_size"
