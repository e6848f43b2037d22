from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kdcore.data.fingerprint import split_fingerprint
from kdcore.distill.splits import open_splits
from kdcore.entries import ModelEntry
from kdcore.models.student_config import TRANSFORMED
from kdcore.plugins import get_plugins
from kdcore.plugins.records import Provided
from kdcore.run import fingerprint
from kdcore.run.cached_teacher import identity_of
from kdcore.run.fingerprint import teacher_code
from kdcore.run.prepare import Process, prepare
from kdcore.spec.load import resolve
from kdcore.spec.models import RunSpec
from kdcore.teacher_cache.identity import Identity

pytest.importorskip("sklearn", reason="the digits need scikit-learn")
NARROW = {"channels": [8, 8, 16, 16]}
BASE: dict[str, Any] = {
    "data": {"image_size": 16, "train_samples": 100, "workers": 0},
    "teacher": {"model": "resnet10t", "options": NARROW},
    "student": {"model": "resnet10t", "options": NARROW},
    "distiller": {"name": "kd"},
    "teacher_cache": {"augmentations": 2},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in changes.items():
        deeper = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if deeper else value
    return both


def identity(**changes: Any) -> Identity:
    loaded = resolve(RunSpec.model_validate(merged(BASE, changes)), base=Path.cwd(), plugins=get_plugins())
    splits = open_splits(loaded.spec, get_plugins())
    prepared = prepare(loaded, splits, get_plugins(), Process(torch.device("cpu")))
    files = split_fingerprint(splits.train)
    return identity_of(loaded, prepared, loaded.spec.members[0], get_plugins(), files)


@pytest.fixture(scope="module")
def base() -> str:
    return identity().digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"student": {"model": "resnet14t"}},
        {"distiller": {"name": "dkd"}},
        {"name": "other", "output": "elsewhere"},
        {"train": {"epochs": 7, "batch_size": 8, "ema": 0.9}},
        {"optimizer": {"lr": 0.5}},
        {"teacher_cache": {"augmentations": 5, "dtype": "float32", "folder": "shared"}},
        {"data": {"workers": 2, "eval_samples": 10}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_changes_no_output(base, changes):
    assert identity(**changes).digest() == base


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"teacher": {"model": "resnet14t"}},
        {"teacher": {"options": {"drop_rate": 0.1}}},
        {"data": {"image_size": 20}},
        {"data": {"train_samples": 101}},
        {"data": {"train_split": "test"}},
        {"data": {"augment": {"padding": 2}}},
        {"data": {"augment": {"hflip": 0.0}}},
        {"data": {"interpolation": "nearest"}},
        {"train": {"precision": "bf16"}},
    ],
    ids=lambda changes: str(next(iter(changes.values()))),
)
def test_what_changes_the_outputs(base, changes):
    assert identity(**changes).digest() != base


def test_a_single_weight_counts(base, monkeypatch: pytest.MonkeyPatch):
    from kdcore.distill import models as module

    build = module.build_model

    def nudged(spec: Any, **arguments: Any) -> Any:
        built = build(spec, **arguments)
        if arguments["where"] == "teacher":
            with torch.no_grad():
                next(built.model.parameters()).view(-1)[0] += 1e-7
        return built

    monkeypatch.setattr(module, "build_model", nudged)
    assert identity().digest() != base


def test_the_teachers_code_counts(base, monkeypatch: pytest.MonkeyPatch):
    known = identity().parts["teacher"]["code"]
    assert known["plugins"] == {}  # a model of timm
    assert known["source"] is None
    monkeypatch.setattr("kdcore.run.fingerprint._files_of", lambda cls: f"edited {cls.__module__}")
    assert identity().parts["teacher"]["code"]["adapter"].startswith("edited kd_feature.adapters.")
    assert identity().digest() != base


def test_the_files_of_an_adapter_count_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "kd_own_adapter"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "loss.py").write_text("")
    (package / "base.py").write_text("from kdcore import TimmAdapter\nclass Base(TimmAdapter):\n    pass\n")
    (package / "adapter.py").write_text("from kd_own_adapter.base import Base\nclass Own(Base):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("kd_own_adapter.adapter").Own
    before = fingerprint._files_of(own)
    (package / "loss.py").write_text("edited = 1")
    assert fingerprint._files_of(own) == before
    (package / "base.py").write_text("edited = 1")
    assert fingerprint._files_of(own) != before


def test_plugins_that_build_or_change_a_timm_model_count():
    infos = [
        SimpleNamespace(name=name, value=f"{name}:x", status="loaded") for name in ("nets", "cut", "none")
    ]
    entry = Provided(ModelEntry("net", "A timm model.", "nets:net"), infos[0])
    plugins = SimpleNamespace(infos=infos, all=lambda kind: [entry])

    def used(name: str, options: dict[str, Any], *transforms: dict[str, str]) -> set[str]:
        built = SimpleNamespace(name=name, options=options, transforms=transforms)
        teacher = SimpleNamespace(built=built, module=torch.nn.Linear(2, 2), adapter=None)
        return set(teacher_code(teacher, plugins)["plugins"])

    assert used("net", {"transforms": "an option of its own"}) == used("nets/net", {}) == {"nets"}
    assert used("resnet10t", {}) == set()
    assert used("resnet10t", {}, {"name": "cut/half"}) == {"cut"}
    assert used(TRANSFORMED, {"transforms": [{"name": "cut/half"}]}) == {"cut"}


def test_the_classes_of_a_module_object_count():
    plugins = SimpleNamespace(infos=(), all=lambda kind: ())

    def code(model: torch.nn.Module) -> dict[str, Any]:
        built = SimpleNamespace(name="module", options={}, transforms=(), model=model)
        return teacher_code(SimpleNamespace(built=built, module=model, adapter=None), plugins)

    relu, gelu = (
        torch.nn.Sequential(torch.nn.Linear(2, 2), act) for act in (torch.nn.ReLU(), torch.nn.GELU())
    )
    assert code(relu) == code(relu)
    assert code(relu) != code(gelu)


def test_it_is_json(base):
    found = identity()
    assert json.loads(json.dumps(found.parts)) == found.parts
    assert found.teacher == "resnet10t"
    assert found.dataset == "digits"


def test_each_image_counts_even_if_only_some_are_augmented_for_it(tmp_path: Path):
    from PIL import Image

    folders = [tmp_path / "train" / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir(parents=True)
        for number in range(50):
            Image.new("RGB", (4, 4), (number, 0, 99)).save(folder / f"{number:02}.bmp")
    data = {"dataset": str(tmp_path), "train_split": "train", "eval_split": "train", "train_samples": None}
    before = identity(data=data)
    Image.new("RGB", (4, 4), (200, 0, 99)).save(folders[0] / "02.bmp")  # of the same size
    after = identity(data=data)
    assert before.parts["data"]["images"] == after.parts["data"]["images"]
    assert before.digest() != after.digest()


def test_a_folder_of_images_may_be_moved(tmp_path: Path):
    from PIL import Image

    folders = [tmp_path / "here", tmp_path / "there" / "deeper", tmp_path / "changed"]
    for folder in folders:
        for label in range(2):
            (folder / "train" / f"class{label}").mkdir(parents=True)
            for number in range(4):
                level = 40 * number + 20 * label + (5 if folder.name == "changed" and number == 2 else 0)
                Image.new("RGB", (16, 16), (level, 0, 99)).save(
                    folder / "train" / f"class{label}" / f"{number}.png"
                )
    data = {"train_split": "train", "eval_split": "train", "train_samples": None}
    one, moved, changed = (identity(data={**data, "dataset": str(folder)}).digest() for folder in folders)
    assert one == moved
    assert one != changed
    (folders[0] / "train" / "class0" / "3.png").rename(folders[0] / "train" / "class0" / "2b.png")
    assert identity(data={**data, "dataset": str(folders[0])}).digest() != one
