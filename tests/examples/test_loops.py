"""The loops of examples/loops: each trains a student that `kd eval`, `kd report` and `kd export` take."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import timm
import torch

from kdcore import RunDirectory, compat, load_student, save_run

pytest.importorskip("sklearn", reason="the digits need scikit-learn")
kd_report = pytest.importorskip("kd_report")

FOLDER = Path(__file__).parents[2] / "examples" / "loops"
NARROW = {"channels": [8, 8, 16, 16]}


@pytest.fixture(scope="module")
def loop():
    """Imports a file of the examples as it is imported by a program in its folder."""
    compat.reset_accelerate()  # a test before this one may have chosen a precision
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module
    files = {name: str(getattr(one, "__file__", "")) for name, one in sys.modules.items()}
    for name, file in files.items():
        if file.startswith(str(FOLDER)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A teacher of small images that has learned nothing."""
    torch.manual_seed(1)
    model = timm.create_model("resnet10t", num_classes=10, **NARROW)
    spec = {
        "student": {"model": "resnet10t", "options": NARROW},
        "data": {"dataset": "digits", "image_size": 16},
        "distiller": "vanilla",
    }
    return save_run(tmp_path_factory.mktemp("runs") / "teacher", model, spec).path


@torch.no_grad()
def by_hand(run, parts):
    """Top-1 in percent of the saved student, counted here."""
    images = parts.Digits("test", (16, 16))
    logits = load_student(run).model(images.images)
    return 100 * (logits.argmax(dim=1) == images.labels).double().mean().item()


def test_the_page_shows_what_the_programs_do():
    """The parts of docs/loops.md that no test runs stand in the programs as they are."""
    page = (FOLDER.parents[1] / "docs" / "loops.md").read_text("utf-8")
    parts = re.findall(r"<!-- not run: [^>]* -->\n```python\n(.*?)```", page, re.DOTALL)
    programs = [file.read_text("utf-8") for file in FOLDER.glob("*.py")]
    assert len(parts) == 3
    for part in parts:
        assert any(part in program for program in programs), part


def check(run, top1, parts, distillers):
    """The loop's own accuracy is the student's, and that which `kd eval` measures."""
    assert top1 == pytest.approx(by_hand(run, parts), abs=1e-4)
    measured = kd_report.evaluate(run, batch_sizes=())
    assert measured.student.top1 == pytest.approx(top1, abs=1e-4)
    assert measured.teacher is not None
    directory = RunDirectory(run)
    written = directory.spec()["distiller"]
    assert [one["name"] for one in (written if isinstance(written, list) else [written])] == distillers
    records = directory.metrics()
    assert [one["epoch"] for one in records] == [1, 2]
    assert records[-1]["eval"]["top1"] == directory.summary()["student"]["top1"] == pytest.approx(top1)
    assert records[1]["loss"] != records[0]["loss"]
    before = parts.distillation(directory.spec()["teacher"]["checkpoint"], "kd", 1).student
    assert not torch.equal(before.fc.weight, load_student(run).model.fc.weight)


def test_accelerate(loop, teacher, tmp_path):
    run = tmp_path / "run"
    top1 = loop("accelerate_loop").train(teacher, run, batch=20, samples=160)
    check(run, top1, sys.modules["loop_parts"], ["dkd"])
    page = kd_report.report(run, images=20).path.read_text("utf-8")
    assert "outside of kd" in page
    assert "optimizer" not in page  # nobody said which
    kd_export = pytest.importorskip("kd_export")
    exported = kd_export.export(run, "torch", samples=8)
    assert exported.check is not None
    card = kd_export.push(run, "someone/student", dry_run=True).path / "README.md"
    text = card.read_text("utf-8")
    assert "in a training loop outside of kd" in text
    assert "learning rate" not in text


@pytest.mark.filterwarnings("default")  # of Lightning, on loader processes and devices
def test_lightning(loop, teacher, tmp_path):
    pytest.importorskip("lightning", reason="the package lightning is not installed")
    run = tmp_path / "run"
    top1 = loop("lightning_loop").train(teacher, run, batch=20, samples=160)
    check(run, top1, sys.modules["loop_parts"], ["kd", "rkd"])
    assert RunDirectory(run).environment()["packages"]["lightning"]


@pytest.mark.filterwarnings("default")  # of transformers
def test_the_trainer_of_transformers(loop, teacher, tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="the package transformers is not installed")
    module = loop("trainer_loop")
    seen = []
    compute_metrics = module.compute_metrics
    monkeypatch.setattr(
        module, "compute_metrics", lambda found: seen.append(found.predictions) or compute_metrics(found)
    )
    run = tmp_path / "run"
    top1 = module.train(teacher, run, batch=20, samples=160)
    check(run, top1, sys.modules["loop_parts"], ["dkd"])
    assert [found.shape for found in seen] == [(500, 10)] * 2  # the logits, and nothing else
