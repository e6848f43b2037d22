"""Runs to export: their directories as a run leaves them, without its training."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch

from kdcore import RunSpec
from kdcore.data import open_split, resolve_input
from kdcore.models import build_model, save_student
from kdcore.plugins import get_plugins
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.rundir.directory import RunDirectory

NARROW = {"channels": [8, 8, 16, 16]}
STUDENTS = {
    "resnet": {"model": "resnet10t", "options": NARROW},
    "vit": {
        "model": "vit_tiny_patch16_224",
        "small_input": True,
        "options": {"depth": 1, "embed_dim": 16, "num_heads": 2},
    },
    "small": {"model": "resnet10t", "options": NARROW, "small_input": True},
}


def leave_run(folder, student, *, status="finished", ema=False, data=None):
    """What a run of one epoch on the digits leaves in `folder`, its weights being the initial ones."""
    plugins = get_plugins()
    spec = RunSpec.model_validate(
        {
            "name": folder.name,
            "output": str(folder.parent),
            "data": {"dataset": "digits", "image_size": 16, "workers": 0, **(data or {})},
            "student": student,
            "distiller": "vanilla",
            "train": {"epochs": 1, "ema": 0.9 if ema else None},
        }
    )

    def build(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            built = build_model(
                spec.student,
                num_classes=10,
                in_chans=spec.data.channels,
                image_size=spec.data.image_size,
                plugins=plugins,
                where="student",
            )
            for module in built.model.modules():  # a network that has seen images: no logits near 0
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.1)
                    module.running_var.uniform_(0.2, 0.5)
        return built

    run = RunDirectory(folder)
    run.begin(spec.model_dump(mode="json"), {})
    scores = {"top1": 50.0, "top5": 90.0}
    run.write_metrics([{"epoch": 1, "eval": scores}])
    last = build(0)
    Checkpoints(run.checkpoints).save_best(
        {"student": build(1).model.state_dict()}, {"top1": 50.0, "agreement": None, "epoch": 1}
    )
    if status == "finished":
        classes = open_split(spec.data, "train", plugins=plugins, where="data.train_split").classes
        for name, model in (("student", last.model), ("student-ema", build(2).model if ema else None)):
            if model is not None:
                save_student(
                    model,
                    folder / name,
                    model_name=spec.student.model,
                    num_classes=10,
                    input=resolve_input(spec.data, last.input),
                    options=spec.student.options,
                    small_input=spec.student.small_input,
                    class_names=classes,
                )
    about = {"model": spec.student.model, **scores} | ({"ema": {"top1": 40.0}} if ema else {})
    run.write_summary({"status": status, "student": about, "teacher": None, "epochs": 1})
    return folder


@pytest.fixture(scope="session")
def kept_runs(tmp_path_factory):
    """Each run once."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    folder = tmp_path_factory.mktemp("runs")
    made = {}

    def get(name):
        if name not in made:
            made[name] = leave_run(folder / name, STUDENTS[name], ema=name == "resnet")
        return made[name]

    return get


@pytest.fixture
def a_run(kept_runs, tmp_path):
    """Makes a copy of a run: 'resnet', 'vit' or 'small'."""

    def copy(name="resnet"):
        return shutil.copytree(kept_runs(name), tmp_path / "runs" / name)

    return copy


@pytest.fixture(scope="session")
def students():
    """Sections 'student' of specs."""
    return STUDENTS


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """Installs a plugin `kd-own` with a model `own_net`; gives the section 'student' of a spec."""
    site = tmp_path / "site"
    (site / "kd_own-1.0.dist-info").mkdir(parents=True)
    (site / "kd_own.py").write_text(
        "from kdcore import ModelEntry, hookimpl\n\n\n@hookimpl\ndef kd_models():\n"
        "    return [ModelEntry(name='own_net', summary='x', target='kd_own_net:build')]\n"
    )
    (site / "kd_own_net.py").write_text(
        "from torch import nn\n\n\ndef build(num_classes, in_chans, *, width=4):\n"
        "    return nn.Sequential(nn.Conv2d(in_chans, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(width, num_classes))\n"
    )
    info = site / "kd_own-1.0.dist-info"
    (info / "entry_points.txt").write_text("[kdcore]\nkd-own = kd_own\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kd-own\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    get_plugins.cache_clear()
    yield {"model": "own_net", "options": {"width": 6}}
    for name in ("kd_own", "kd_own_net"):
        sys.modules.pop(name, None)
    get_plugins.cache_clear()


@pytest.fixture
def make_run(tmp_path):
    """Makes a run of its own: `make_run(name, student, status=..., ema=..., data=...)`."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    return lambda name, student, **more: leave_run(tmp_path / "runs" / name, student, **more)
