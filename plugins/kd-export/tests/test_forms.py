"""Options of formats, half precision, and formats that run on other systems only."""

from __future__ import annotations

import json
import re
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from kd_export import check as checking
from kd_export import export, export_all
from kd_export import latency as measuring
from kd_export.compat import onnx_opsets
from kd_export.format_options import parse_options
from kd_export.formats.options import OnnxOptions
from kd_export.script import run_script

from kdcore import RunFailed, UserError, load_student
from kdcore.inspect import open_export


def images(batch, size=16):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(7))


def logits_of(run, taken):
    with torch.inference_mode():
        return load_student(run).model(taken).numpy()


def shape_of(value):
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_onnx_with_an_opset_and_a_fixed_batch(a_run):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = a_run()
    opset = onnx_opsets()[1] - 1
    result = export(run, "onnx", options=[f"opset={opset}", "batch=4"], samples=6)
    assert result.options == {"opset": opset, "batch": 4}
    assert result.check.same_top1 == 6
    model = onnx.load(result.path / "model.onnx")
    assert [each.version for each in model.opset_import if not each.domain] == [opset]
    assert shape_of(model.graph.input[0]) == [4, 3, 16, 16]
    assert shape_of(model.graph.output[0]) == [4, 10]
    about = json.loads((result.path / "kd.json").read_text())
    assert about["options"] == result.options
    assert about["onnx"] == {"opset": opset}
    for batch in (1, 4, 9):  # its script takes any number of images
        given = run_script(result.path)(images(batch).numpy())
        np.testing.assert_allclose(given, logits_of(run, images(batch)), atol=1e-4)


def test_onnx_in_half_precision(a_run):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = a_run("vit")
    result = export(run, "onnx", fp16=True)
    assert (result.form, result.path.name) == ("onnx-fp16", "onnx-fp16")
    assert result.check.images == 120
    assert 0 < result.check.largest_difference < 0.01
    assert result.check.same_top1 >= 118
    model = onnx.load(result.path / "model.onnx")
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    kinds = {each.data_type for each in model.graph.initializer}
    assert half in kinds
    assert single not in kinds
    session = onnxruntime.InferenceSession(result.path / "model.onnx", providers=["CPUExecutionProvider"])
    (given,), (gives,) = session.get_inputs(), session.get_outputs()
    assert (given.type, given.shape) == ("tensor(float)", ["batch", 3, 16, 16])
    assert (gives.type, gives.shape) == ("tensor(float)", ["batch", 10])


def test_half_precision_that_is_too_far_from_the_student_is_refused(a_run, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(
        checking, "run_script", lambda folder: lambda taken: np.ones((len(taken), 10), np.float32)
    )
    with pytest.raises(RunFailed, match="gives other logits than the student"):
        export(a_run("small"), "onnx", fp16=True, samples=3)


@pytest.mark.parametrize(
    ("difference", "largest", "fits"),
    [
        (0.0099, 0.04, False),
        (0.00039, 0.04, True),
        (0.11, 10, False),
        (0.09, 10, True),
        (0, 0, True),
        (1e-6, 0, True),
    ],
)
def test_the_tolerance_is_a_share_of_the_largest_value(difference, largest, fits):
    numbers = {
        "images": 3,
        "split": "test",
        "same_top1": None,
        "top1": None,
        "student_top1": None,
        "labelled": 0,
    }
    found = checking.ExportCheck(largest_difference=difference, largest_logit=largest, **numbers)
    with nullcontext() if fits else pytest.raises(RunFailed, match="gives other embeddings than the student"):
        checking.require_same(found, "x", 0.01)


def test_an_encoder_in_half_precision(make_run, students):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = make_run("encoder", {**students["resnet"], "classifier": False})
    found = export(run, "onnx", fp16=True, samples=6).check
    assert 0 < found.largest_difference < 0.01 * found.largest_logit


def test_an_opset_that_torch_does_not_write(a_run, kd):
    pytest.importorskip("onnxscript")
    first, last = onnx_opsets()
    run = a_run()
    for opset in (first - 1, last + 1):
        with pytest.raises(UserError, match="does not write this opset of ONNX") as caught:
            export(run, "onnx", options={"opset": opset})
        assert caught.value.problems[0].allowed == f"{first} to {last}"
    assert not (run / "export" / "onnx").exists()
    done = kd("export", run, "--to", "onnx", "--option", "opset=seven")
    assert done.code == 2
    assert "--option.opset" in done.err


def test_an_opset_that_torch_kept_is_noticed(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from kd_export.formats.onnx import finish

    taken = onnx.helper.make_tensor_value_info("images", 1, ["s1", 2])
    given = onnx.helper.make_tensor_value_info("logits", 1, ["s1", 2])
    node = onnx.helper.make_node("Relu", ["images"], ["logits"])
    graph = onnx.helper.make_graph([node], "x", [taken], [given])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "model.onnx")
    about = {"model": {"name": "x"}, "run": "x", "input": {}, "classes": None}
    assert finish(tmp_path / "model.onnx", about, OnnxOptions(opset=18)) == 18
    assert shape_of(onnx.load(tmp_path / "model.onnx").graph.output[0]) == ["batch", 2]
    with pytest.raises(RunFailed, match="opset 20 of ONNX: torch wrote opset 18"):
        finish(tmp_path / "model.onnx", about, OnnxOptions(opset=20))


# -- options --------------------------------------------------------------------------------------------------------


def test_options_are_texts_or_a_dict():
    assert parse_options(["a=1", "b=x", "c=[1, 2]", "d="]) == {"a": 1, "b": "x", "c": [1, 2], "d": ""}
    assert parse_options({"a": 1}) == parse_options("a=1") == {"a": 1}
    for text in ("batch", "=4"):
        with pytest.raises(UserError, match="must be KEY=VALUE"):
            parse_options([text])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("onnx", "--option", "opsett=18"), "did you mean 'opset'?"),
        (("onnx", "--option", "batch=0"), "--option.batch"),
        (("torch", "--option", "batch=4"), "the format torch has no options"),
        (("torch,onnx", "--option", "batch=4"), "the format torch has no options"),
        (("all", "--option", "bach=4"), "no format has an option of this name"),
        (("all", "--option", "batch=0"), "--option.batch"),
        (("torch", "--fp16"), "exported with its weights as they are"),
        (("onnx", "--fp16", "--int8"), "--int8 and --fp16 exclude each other"),
        (("onnx,torch", "--fp16"), "half precision is part of a format's name"),
        (("onnx-int8", "--fp16"), "onnx-int8 is onnx in 8 bits"),
        (("onnx-fp16", "--int8", "--compare"), "onnx-fp16 is onnx in half precision"),
        (("onxn-int8",), "did you mean 'onnx'?"),
        (("torch-int8",), "exported with its weights as they are"),
    ],
)
def test_a_wrong_option_ends_with_2(kd, a_run, arguments, message):
    run = a_run()
    done = kd("export", run, "--to", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not (run / "export").exists()


OPTIONS = """
from kdcore import ExporterEntry, Options, hookimpl

class Own(Options):
    scale: float = 1.0

@hookimpl
def kd_exporters():
    return [ExporterEntry(name="npz", summary="x", target="kd_own_code:write", fp16=True, options="kd_own:Own")]
"""
CODE = """
import numpy as np
from kdcore import ExportedFiles

def write(student, folder, about, *, fp16=False, options):
    state = {key: value.numpy() for key, value in student.model.state_dict().items()}
    np.savez(folder / "weights.npz", scale=options.scale, **state)
    load = "return lambda images: np.full((len(images), 10), 0.5, np.float32)"
    return ExportedFiles(files=["weights.npz"], load=load, exact=False, about={"half": fp16}, **MORE)
"""


@pytest.fixture
def own_format(add_plugin):
    """Installs an exporter `npz` with an option and half precision; it gives wrong logits."""
    return lambda more="{}": add_plugin("kd-own", OPTIONS, kd_own_code=CODE.replace("MORE", more))


def test_a_plugins_format_has_options_and_half_precision(own_format, a_run):
    own_format()
    run = a_run()
    result = export(run, "npz", fp16=True, options={"scale": 2}, samples=4)
    assert np.load(result.path / "weights.npz")["scale"] == 2
    assert json.loads((result.path / "kd.json").read_text())["half"] is True
    (several,) = export_all(run, ["npz"], options=["scale=0.5"], samples=0, compare=False).exports
    assert several.options == {"scale": 0.5}
    assert "options" not in json.loads((export(run, "npz", force=True).path / "kd.json").read_text())


@pytest.mark.parametrize("more", [(), ("--fp16",), ("--compare", "--fp16")])
def test_the_name_of_a_format_may_have_its_precision(own_format, a_run, kd, more):
    own_format()
    run = a_run()
    done = kd("export", run, "--to", "npz-fp16", "--samples", 3, *more)
    assert done.code == 0, done.err
    assert json.loads((run / "export" / "npz-fp16" / "kd.json").read_text())["half"] is True


def test_a_format_whose_own_name_ends_like_a_precision(add_plugin, a_run):
    add_plugin("kd-own", OPTIONS.replace('"npz"', '"npz-int8"'), kd_own_code=CODE.replace("MORE", "{}"))
    result = export(a_run(), "npz-int8", fp16=True, samples=3)
    assert (result.target, result.form) == ("npz-int8", "npz-int8-fp16")


def test_a_fixed_batch_is_timed_whole_and_next_to_the_students_time_for_as_many(
    add_plugin, a_run, kd, monkeypatch
):
    monkeypatch.setattr(measuring, "_ROUNDS", 2)
    options = OPTIONS.replace("scale: float = 1.0", "scale: float = 1.0\n    batch: int = 1")
    code = CODE.replace("MORE", "{}").replace(
        "return lambda images: np.full((len(images)", "return lambda images: np.full((4"
    )
    add_plugin("kd-own", options, kd_own_code=code.replace("10), 0.5", "10), images[3].mean()"))
    run = a_run()
    found = export_all(run, ["npz"], options={"batch": 4}, samples=0).latencies
    assert [(one.name, one.batch) for one in found] == [("student", 1), ("student", 4), ("npz", 4)]
    assert [one.of_student for one in found[:2]] == [1, 1]
    done = kd("export", run, "--to", "npz", "--option", "batch=4", "--samples", 0, "--compare", "--force")
    assert done.code == 0, done.err
    assert "\nstudent, in PyTorch, 4 images " in done.out
    assert "\nnpz: 4 images at a time, compared with the student's time for as many\n" in done.out


def test_an_export_that_does_not_load_has_no_time(own_format, a_run, kd, monkeypatch):
    monkeypatch.setattr(measuring, "_ROUNDS", 2)
    own_format("{'imports': ('import no_such_runtime',)}")
    done = kd("export", a_run(), "--to", "npz,torch", "--samples", 0, "--compare")
    assert done.code == 0, done.err
    warning = "npz: its time was not measured: its load.py cannot be used here: ModuleNotFoundError"
    assert warning in done.err
    student, npz, torch_row = (re.split(r"  +", line) for line in done.out.splitlines()[1:4])
    assert [row[0] for row in (student, npz, torch_row)] == ["student, in PyTorch", "npz", "torch"]
    assert len(torch_row) == len(npz) + 2


def test_a_formats_own_tolerance(own_format, a_run):
    own_format("{'tolerance': 0.01}")
    with pytest.raises(RunFailed, match="gives other logits than the student"):
        export(a_run(), "npz", samples=4)


@pytest.mark.parametrize(
    "more",
    ["{'tolerance': 0}", "{'tolerance': float('nan')}", "{'tolerance': '1'}", "{'platforms': 'linux'}"],
)
def test_a_wrong_tolerance_or_platform_is_the_plugins(own_format, a_run, more):
    own_format(more)
    with pytest.raises(RunFailed, match=r"ExportedFiles: (tolerance must be a number|platforms must be)"):
        export(a_run(), "npz", samples=4)


# -- systems --------------------------------------------------------------------------------------------------------


def test_a_format_of_another_system_is_written_and_not_run(own_format, a_run, kd):
    own_format("{'platforms': ('plan9',)}")
    run = a_run()
    result = export(run, "npz")
    assert (result.check, result.loads, result.platforms) == (None, False, ("plan9",))
    assert result.warnings == (
        f"its logits were not compared with the student's: npz of kd-own 1.0 runs on plan9, and this is {sys.platform}",
    )
    with pytest.raises(RuntimeError, match="this export runs on plan9 only"):
        run_script(result.path)
    with pytest.raises(UserError, match="an export to npz runs on plan9 only, and this is"):
        open_export(result.path)
    done = kd("predict", result.path, run.parent.parent / "runs")
    assert done.code == 2
    assert "runs on plan9 only" in done.err
    done = kd("export", run, "--to", "npz", "--compare", "--force")
    assert done.code == 0, done.err
    assert "not run here: plan9 only" in done.out
