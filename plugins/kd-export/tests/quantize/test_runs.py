"""Runs whose student trains with 8 bits: resumed, evaluated, exported with the ranges that it learned, and refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from kd_export import export
from kd_export.quantize.rounded import rounded_part
from safetensors.torch import load_file

import kdcore
from kdcore import UserError
from kdcore.inspect import import_export_script, open_run_student

pytest.importorskip("sklearn", reason="needs kdcore[digits]")

MODEL = {"model": "resnet10t", "small_input": True, "options": {"channels": [8, 8, 16, 16]}}
SPEC = {
    "name": "eight",
    "data": {"dataset": "digits", "image_size": 16, "train_samples": 400, "eval_samples": 100, "workers": 0},
    "student": {**MODEL, "transform": "int8"},
    "distiller": "vanilla",
    "train": {"epochs": 2, "batch_size": 20, "ema": 0.8},
    "optimizer": {"name": "adamw", "lr": 0.01},
    "scheduler": {"warmup_epochs": 0},
}
NEEDS = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino",),
    "executorch": ("executorch", "torchao"),
}


def weights(run, name="student"):
    return load_file(run / name / "model.safetensors")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run without a pause and with one."""
    whole, parts = (tmp_path_factory.mktemp(name) for name in ("whole", "parts"))
    first = kdcore.run(SPEC, output=whole, quiet=True)
    kdcore.run(SPEC, output=parts, quiet=True, until=1)
    second = kdcore.run(SPEC, output=parts, quiet=True)
    return first, second


@pytest.fixture(scope="module")
def run(runs):
    return runs[1].directory


@pytest.mark.parametrize("name", ["student", "student-ema"])
def test_a_resumed_run_ends_bit_equal(runs, name):
    first, second = (weights(one.directory, name) for one in runs)
    assert first.keys() == second.keys()
    assert any(key.endswith("int8_output.low") for key in first)
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.parametrize("which", ["last", "ema"])
def test_what_the_run_measured_is_what_its_rounded_student_reaches(runs, which):
    student = open_run_student(runs[1].directory, which)
    assert rounded_part(student.model) is student.model
    right = total = 0
    with torch.no_grad():
        for images, target in student.images(student.split, None):
            right += int((student.model(images).argmax(1) == target).sum())
            total += len(target)
    assert total == 100
    assert student.scores["top1"] == pytest.approx(
        100 * right / total, abs=1
    )  # other batches, other rounding


@pytest.mark.parametrize("to", NEEDS)
def test_an_export_has_the_learned_ranges(run, to):
    for library in NEEDS[to]:
        pytest.importorskip(library, reason=f"needs the extra '{to}'")
    result = export(run, to, int8=True, force=True)
    about = json.loads((result.path / "kd.json").read_text())
    assert about["int8"]["ranges"] == "learned in training"
    assert "calibration" not in about["int8"]
    assert result.check.images == 100
    assert result.check.same_top1 >= 96  # rounding in another order
    assert abs(result.check.top1 - result.check.student_top1) <= 4
    if to == "openvino":  # the graph is in the other file
        assert result.files["model.bin"] < 1.2 * open_run_student(run).parameters


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_where_sums_of_8_bits_saturate_the_rounding_is_computed_in_floats(run, to, tmp_path, monkeypatch):
    for library in NEEDS[to]:
        pytest.importorskip(library, reason=f"needs the extra '{to}'")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    student = open_run_student(run)
    images = next(iter(student.images(student.split, None)))[0]
    with torch.no_grad():
        expected = student.model(images).numpy()
    path = export(run, to, int8=True, force=True, samples=0).path / "load.py"
    script = path.read_text("utf-8")
    (tmp_path / "cpuinfo").write_text("flags : avx avx2")
    assert script.count('"/proc/cpuinfo"') == 1
    path.write_text(script.replace("/proc/cpuinfo", str(tmp_path / "cpuinfo")), "utf-8")
    logits = import_export_script(path.parent).load()(images.numpy())
    # sums in another order can turn a rounding over
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.96
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("to", ["timm", "torch", "onnx", "openvino", "executorch", "pt2", "torchscript"])
def test_an_export_in_32_bits_is_refused(run, to):
    for library in NEEDS.get(to, ()):
        pytest.importorskip(library, reason=f"needs the extra '{to}'")
    with pytest.raises(UserError, match="trained with 8-bit integers") as caught:
        export(run, to, samples=0)
    assert caught.value.problems[0].allowed == " or ".join(f"--to {name} --int8" for name in sorted(NEEDS))
    assert not (run / "export" / to).exists()


def test_a_comparison_says_that_pytorch_computes_the_rounding(run, kd, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr("kd_export.latency._ROUNDS", 2)
    done = kd("export", run, "--to", "onnx-int8", "--samples", 0, "--compare", "--force")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith("the student was trained with 8 bits: in PyTorch it computes")


def test_the_command_says_it(run, kd):
    done = kd("export", run, "--to", "pt2")
    assert done.code == 2
    assert "run the spec without this transform" in done.err


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"train": {"fsdp": "student"}}, "student.transform", "whole weights"),
        ({"train": {"grad_checkpointing": True}}, "student.transform", "ranges once more"),
        ({"student": {**MODEL, "transform": [{"name": "int8"}] * 2}}, "student.transform[1]", "already"),
        ({"student": {**MODEL, "transform": {"name": "int8", "bits": 4}}}, "student.transform.bits", "bits"),
        ({"student": {**MODEL, "transform": "int9"}}, "student.transform.name", "int9"),
    ],
    ids=["fsdp", "checkpointing", "twice", "option", "name"],
)
def test_it_is_refused_with_the_place_and_the_reason(tmp_path, changes, where, message):
    with pytest.raises(UserError, match=message) as caught:
        kdcore.run({**SPEC, **changes}, output=tmp_path, quiet=True)
    assert where in {problem.where for problem in caught.value.problems}


def test_its_classes_can_be_put_in_the_order_of_the_data(tmp_path, run):
    classes = {str(digit): 9 - digit for digit in range(10)}
    spec = {
        **SPEC,
        "name": "taught",
        "student": MODEL,
        "distiller": "kd",
        "train": {"epochs": 1, "batch_size": 20},
    }
    result = kdcore.run(
        {**spec, "teacher": {"checkpoint": str(run), "classes": classes}}, output=tmp_path, quiet=True
    )
    student = open_run_student(run, "last")
    with torch.no_grad():
        pairs = [(student.model(images).argmax(1), target) for images, target in student.images("test", None)]
    right = sum(int((9 - first == target).sum()) for first, target in pairs)
    teacher = json.loads((result.directory / "summary.json").read_text())["teacher"]
    assert teacher["top1"] == pytest.approx(right, abs=1)  # of 100 images; other batches, other rounding


SECOND_PASS = {"train": {**SPEC["train"], "grad_checkpointing": True}}


def test_a_run_that_continues_with_such_a_setting_is_refused(tmp_path):
    kdcore.run(SPEC, output=tmp_path, quiet=True, until=1)
    with pytest.raises(UserError, match="ranges once more") as caught:
        kdcore.run({**SPEC, **SECOND_PASS}, output=tmp_path, quiet=True)
    assert [problem.where for problem in caught.value.problems] == ["student.transform"]
    kdcore.run(SPEC, output=tmp_path, quiet=True)  # nothing is lost


def test_a_run_that_begins_with_such_a_student_is_refused_too(tmp_path, run):
    changes = {"student": {**MODEL, "checkpoint": str(run)}, **SECOND_PASS}
    with pytest.raises(UserError, match="ranges once more") as caught:
        kdcore.run({**SPEC, **changes}, output=tmp_path, quiet=True)
    assert [problem.where for problem in caught.value.problems] == ["student.checkpoint"]


def test_a_student_without_a_layer_for_it_is_refused(tmp_path, add_plugin):
    add_plugin(
        "kd-flat",
        """
        from kdcore import ModelEntry, hookimpl

        @hookimpl
        def kd_models():
            return [ModelEntry(name='flat_net', summary='x', target='kd_flat_net:build')]
        """,
        kd_flat_net="""
        from torch import nn

        def build(num_classes, in_chans):
            return nn.Sequential(nn.ConvTranspose2d(in_chans, num_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        """,
    )
    spec = {**SPEC, "student": {"model": "flat_net", "transform": {"name": "int8"}}}
    with pytest.raises(UserError, match="no layer that could be rounded"):
        kdcore.run(spec, output=tmp_path, quiet=True)


def test_openvino_measures_ranges_of_other_students(a_run):
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    result = export(a_run("small"), "openvino", int8=True, samples=100)
    about = json.loads((result.path / "kd.json").read_text())
    method = "mean of the batches' MinMax"
    assert about["int8"]["calibration"] == {"split": "train", "images": 256, "method": method}
    assert result.check.largest_difference > 0
    assert result.check.same_top1 >= 95
    assert np.isfinite(result.check.largest_logit)
