"""`kd eval` of an export: by its own script, on the images of its run or of a dataset."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from kd_report import evaluate

from kdcore import RunFailed, UserError, run
from kdcore.inspect import about_student, open_run_student

QUICK = {"batch_sizes": ()}
SCRIPT = """
import numpy as np
import torch
from kdcore import load_student

RUN = {run!r}


def load(folder=None):
    model = load_student(RUN).model.eval()

    def call(images):
        with torch.inference_mode():
            return model(torch.from_numpy(images)).numpy(){more}

    return call


def prepared(image):
    raise NotImplementedError


from_eight_bits = prepared
"""


@pytest.fixture(scope="module")
def exported(pair, tmp_path_factory):
    """A folder like an export, in the directory of a run and beside that of its teacher."""
    runs = shutil.copytree(pair.parent, tmp_path_factory.mktemp("exported") / "runs")
    for name in ("teacher.json", "student.json"):
        shutil.copy(pair.parent.parent / name, runs.parent)
    run = runs / pair.name
    return write_export(run, run / "export" / "mine")


def write_export(run, folder, more="", **about):
    folder.mkdir(parents=True)
    says = about_student(open_run_student(run), "mine") | about
    (folder / "kd.json").write_text(json.dumps(says))
    (folder / "load.py").write_text(SCRIPT.format(run=str(run), more=more))
    (folder / "model.bin").write_bytes(b"x" * 1000)
    return folder


def test_an_export_in_its_run_is_measured_like_the_run(exported):
    run = exported.parent.parent
    found, wanted = evaluate(exported, batch_sizes=(1, 3)), evaluate(run, **QUICK)
    assert (found.dataset, found.split, found.images) == (wanted.dataset, wanted.split, wanted.images)
    assert found.weights == "last"
    for name in ("top1", "top5", "nll", "ece", "parameters", "image_size"):
        assert getattr(found.student, name) == pytest.approx(getattr(wanted.student, name)), name
    assert found.student.name == "resnet10t (mine)"
    assert found.student.macs is None
    assert found.student.weights_bytes == 1000
    assert found.teacher == replace(wanted.teacher, speed=found.teacher.speed)
    assert found.agreement == pytest.approx(wanted.agreement)
    assert [speed.batch_size for speed in found.student.speed] == [1, 3]


def test_on_other_data(exported, numbers, pair, tmp_path):
    found = evaluate(exported, data=numbers, samples=30, teacher=str(pair), **QUICK)
    assert (found.images, found.weights) == (30, None)
    assert found.agreement == 100
    elsewhere = shutil.copytree(exported, tmp_path / "elsewhere")
    assert evaluate(elsewhere, data=numbers, **QUICK).images == 80
    with pytest.raises(UserError, match="which images"):
        evaluate(elsewhere, **QUICK)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"model": "resnet18"}, "--model"),
        ({"weights": "best"}, "--best"),
        ({"image_size": 32}, "--image-size"),
    ],
)
def test_flags_that_do_not_apply(exported, given, where):
    with pytest.raises(UserError) as caught:
        evaluate(exported, **given, **QUICK)
    assert caught.value.problems[0].where == where


def test_broken_exports(exported, tmp_path):
    run = exported.parent.parent
    other = write_export(run, tmp_path / "export" / "shape", more="[:, :4]")
    with pytest.raises(RunFailed, match=r"gives logits of shape \[\d+, 4\] instead of \[\d+, 10\]"):
        evaluate(other, data=_dataset(run), **QUICK)
    (other / "load.py").write_text("def load(): pass\nraise KeyError('model')")
    with pytest.raises(RunFailed, match=r"load\.py cannot load the export.*KeyError"):
        evaluate(other, data=_dataset(run), **QUICK)
    (other / "kd.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match="not the description of an export: it has no 'output'"):
        evaluate(other, data=_dataset(run), **QUICK)


def _dataset(run):
    return json.loads((run / "spec.json").read_text())["data"]["dataset"]


def small_run(folder, dataset):
    """A run whose student pools nothing: OpenVINO has no pooling beyond the image's side."""
    spec = {
        "name": "small",
        "output": str(folder),
        "data": {"dataset": dataset, "image_size": 16, "train_samples": 20, "workers": 0},
        "student": {"model": "resnet10t", "options": {"channels": [4, 4, 8, 8]}, "small_input": True},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 10},
        "report": False,
    }
    return run(spec, quiet=True).directory


NEEDS = {
    "onnx": ("onnxruntime", "onnxscript"),
    "openvino": ("openvino",),
    "executorch": ("executorch", "torchao"),
}


@pytest.mark.parametrize(
    "to", ["timm", "torch", "onnx", "onnx-int8", "openvino", "executorch", "pt2", "torchscript"]
)
def test_every_format_of_kd_export(exported, to, tmp_path):
    kd_export = pytest.importorskip("kd_export", reason="kd-export is not installed")
    for library in NEEDS.get(to.removesuffix("-int8"), ()):
        pytest.importorskip(library)
    run = (
        exported.parent.parent if to != "openvino" else small_run(tmp_path, _dataset(exported.parent.parent))
    )
    path = kd_export.export(run, to.removesuffix("-int8"), int8=to.endswith("-int8"), samples=0).path
    images = {"samples": 40, **({"data": _dataset(run)} if to == "timm" else {})}
    found, wanted = evaluate(path, **images, **QUICK), evaluate(run, **images, **QUICK)
    if to == "onnx-int8":
        assert found.student.top1 == pytest.approx(wanted.student.top1, abs=10)
        assert found.student.nll == pytest.approx(wanted.student.nll, rel=0.1)
        return
    assert found.student.top1 == wanted.student.top1
    assert found.student.nll == pytest.approx(wanted.student.nll, rel=1e-4)
    assert found.student.weights_bytes > 1000


def test_the_command(exported, kd):
    shown = kd("eval", exported, "--batch-sizes", "0", "--samples", "20")
    assert shown.code == 0, shown.err
    assert "resnet10t (mine)" in shown.out
    assert kd("eval", exported, "--pretrained").code == 2
