"""Runs to export: their directories as a run leaves them, without its training; plugins; and the command line."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore import RunDirectory, RunSpec
from kdcore.cli import main
from kdcore.inspect import build_model, open_split, resolve_input, save_student
from kdcore.plugin import get_plugins
from kdcore.rundir.checkpoints import Checkpoints

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
IMAGES = {"train": 26, "test": 12}  # of each of ten classes


def write_images(folder):
    """Images of ten classes, in splits: noise with a square whose place depends on the class."""
    random = np.random.default_rng(0)
    for split, count in IMAGES.items():
        for label in range(10):
            (folder / split / str(label)).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 100, (16, 16, 3), dtype=np.uint8)
                pixels[label : label + 6, label : label + 6] += 150
                Image.fromarray(pixels).save(folder / split / str(label) / f"{number}.png")
    return folder


def leave_run(folder, student, dataset, *, status="finished", ema=False, data=None):
    """What a run of one epoch leaves in `folder`, its weights being the initial ones."""
    plugins = get_plugins()
    classes = 10 if student.get("classifier", True) else 0
    spec = RunSpec.model_validate(
        {
            "name": folder.name,
            "output": str(folder.parent),
            "data": {"dataset": str(dataset), "image_size": 16, "workers": 0, **(data or {})},
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
                num_classes=classes,
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
        names = open_split(spec.data, "train", plugins=plugins, where="data.train_split").classes
        for name, model in (("student", last.model), ("student-ema", build(2).model if ema else None)):
            if model is not None:
                save_student(
                    model,
                    folder / name,
                    model_name=spec.student.model,
                    num_classes=classes,
                    input=resolve_input(spec.data, last.input),
                    options=spec.student.options,
                    small_input=spec.student.small_input,
                    class_names=names if classes else None,
                )
    about = {"model": spec.student.model, **scores} | ({"ema": {"top1": 40.0}} if ema else {})
    run.write_summary({"status": status, "student": about, "teacher": None, "epochs": 1})
    return folder


@pytest.fixture(autouse=True)
def _fresh_plugins(monkeypatch):
    for name in ("KD_DISABLE_PLUGINS", "KD_STRICT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    get_plugins.cache_clear()
    yield
    get_plugins.cache_clear()


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder of images."""
    return write_images(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="session")
def kept_runs(tmp_path_factory, digits):
    """Each run once."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}

    def get(name):
        if name not in made:
            made[name] = leave_run(folder / name, STUDENTS[name], digits, ema=name == "resnet")
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
def make_run(tmp_path, digits):
    """Makes a run of its own: `make_run(name, student, status=..., ema=..., data=...)`."""
    return lambda name, student, **more: leave_run(tmp_path / "runs" / name, student, digits, **more)


@pytest.fixture
def add_plugin(tmp_path, monkeypatch):
    """Installs a fake distribution: `add_plugin(name, entry module, version=..., **other modules)`."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def add(distribution, code, version="1.0", **modules):
        module = distribution.replace("-", "_")
        for name, text in {module: code, **modules}.items():
            (site / f"{name}.py").write_text(textwrap.dedent(text))
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[kdcore]\n{distribution} = {module}\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        get_plugins.cache_clear()

    yield add
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


@pytest.fixture
def own_model(add_plugin):
    """Installs a plugin `kd-own` with a model `own_net`; gives the section 'student' of a spec."""
    add_plugin(
        "kd-own",
        """
        from kdcore import ModelEntry, hookimpl

        @hookimpl
        def kd_models():
            return [ModelEntry(name='own_net', summary='x', target='kd_own_net:build')]
        """,
        kd_own_net="""
        from torch import nn

        def build(num_classes, in_chans, *, width=4):
            return nn.Sequential(nn.Conv2d(in_chans, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                 nn.Linear(width, num_classes))
        """,
    )
    return {"model": "own_net", "options": {"width": 6}}


@pytest.fixture
def kd(capsys):
    """Runs `kd` in this process."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(
                [
                    os.fspath(argument) if isinstance(argument, os.PathLike) else str(argument)
                    for argument in arguments
                ]
            )
        out, err = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=out, err=err)

    return call
