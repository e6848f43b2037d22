"""Each format, loaded by its own script, without kd, and with its runtime alone."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from kd_export import check as checking
from kd_export import export
from kd_export.recipe import recipe_of
from kd_export.script import run_script
from PIL import Image

from kdcore import RunFailed, UserError, load_student
from kdcore.data.transforms import eval_transform
from kdcore.inspect import import_export_script, open_run_student, open_split
from kdcore.plugin import get_plugins, pip_install

LIGHT = ("timm", "torch", "pt2", "torchscript")


def images(batch=3, size=16):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(7))


def logits_of(run, taken):
    with torch.inference_mode():
        return load_student(run).model(taken)


@pytest.mark.parametrize(
    ("name", "to"),
    [
        *(("resnet", to) for to in LIGHT),
        ("vit", "pt2"),
        ("vit", "torchscript"),
        ("small", "timm"),
        ("small", "torch"),
    ],
)
def test_the_script_gives_the_students_logits(a_run, to, name):
    run = a_run(name)
    result = export(run, to, samples=12)
    assert result.path == run / "export" / to
    assert result.check.images == result.check.same_top1 == 12
    assert result.check.largest_difference <= 1e-5
    for batch in (1, 3):
        given = run_script(result.path)(images(batch).numpy())
        np.testing.assert_allclose(given, logits_of(run, images(batch)), atol=1e-5)
    about = json.loads((result.path / "kd.json").read_text())
    assert about["classes"] == [str(digit) for digit in range(10)]
    assert about["check"]["images"] == 12
    assert about["input"]["crop"] == [16, 16]


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_onnx_runs_in_onnxruntime(a_run, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = a_run(name)
    result = export(run, "onnx", samples=12)
    assert result.check.same_top1 == 12
    session = onnxruntime.InferenceSession(result.path / "model.onnx", providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.shape[1:]) == ("images", [3, 16, 16])
    assert taken.shape[0] == session.get_outputs()[0].shape[0] == "batch"
    for batch in (1, 5):
        (given,) = session.run(["logits"], {"images": images(batch).numpy()})
        np.testing.assert_allclose(given, logits_of(run, images(batch)), atol=1e-4)
    props = session.get_modelmeta().custom_metadata_map
    assert json.loads(props["classes"])[3] == "3"
    assert json.loads(props["preprocessing"])["mean"] == pytest.approx(load_student(run).input.mean)
    assert json.loads(props["kd"])["run"] == name


@pytest.mark.parametrize("name", ["small", "vit"])
def test_openvino_runs_on_the_cpu(a_run, name):
    openvino = pytest.importorskip("openvino")
    run = a_run(name)
    result = export(run, "openvino", samples=12)
    assert result.check.same_top1 == 12
    assert list(result.files)[:2] == ["model.xml", "model.bin"]
    model = openvino.Core().read_model(result.path / "model.xml")
    shape = model.input("images").partial_shape
    assert shape[0].is_dynamic
    assert [size.get_length() for size in list(shape)[1:]] == [3, 16, 16]
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for batch in (1, 5):
        given = compiled({"images": images(batch).numpy()})["logits"]
        np.testing.assert_allclose(given, logits_of(run, images(batch)), atol=1e-4)
    assert json.loads(model.get_rt_info(["kd", "classes"]).astype(str))[3] == "3"


@pytest.mark.parametrize("int8", [False, True])
def test_executorch_runs_with_xnnpack(a_run, int8):
    pytest.importorskip("torchao", reason="needs the extra 'executorch'")
    runtime = pytest.importorskip("executorch.runtime", reason="needs the extra 'executorch'")
    run = a_run()
    result = export(run, "executorch", int8=int8, samples=40)
    program = runtime.Runtime.get().load_program(result.path / "model.pte")
    method = program.load_method("forward")
    assert b"XnnpackBackend" in (result.path / "model.pte").read_bytes()
    given = torch.cat([method.execute([image[None]])[0] for image in images(5)])
    if not int8:
        assert result.check.same_top1 == 40
        np.testing.assert_allclose(given.numpy(), logits_of(run, images(5)), atol=1e-4)
        return
    assert result.check.same_top1 > 20
    about = json.loads((result.path / "kd.json").read_text())
    assert about["int8"]["calibration"] == {"split": "train", "images": 256, "method": "MinMax"}
    assert result.files["model.pte"] < 0.5 * export(run, "executorch", samples=0).files["model.pte"]


def test_int8_is_told_beside_the_student(a_run):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    import onnx

    result = export(a_run(), "onnx", int8=True, options={"batch": 8}, samples=100)
    graph = onnx.load(result.path / "model.onnx").graph
    assert "QuantizeLinear" in {node.op_type for node in graph.node}
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 8
    assert result.path.name == "onnx-int8"
    assert result.check.images == 100
    assert result.check.largest_difference > 0
    assert result.check.same_top1 > 50
    assert result.check.top1 is not None
    assert result.check.student_top1 is not None
    about = json.loads((result.path / "kd.json").read_text())
    assert about["int8"]["calibration"] == {"split": "train", "images": 256, "method": "MinMax"}
    assert about["int8"]["bytes_before"] > result.files["model.onnx"]


def test_timm_loads_the_folder(a_run):
    run = a_run()
    result = export(run, "timm", samples=0)
    assert result.check is None
    model = timm.create_model(f"local-dir:{result.path}", pretrained=True).eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(images()), logits_of(run, images()))
    data = timm.data.resolve_model_data_config(model)
    assert data["input_size"] == (3, 16, 16)
    assert data["crop_mode"] == "center"


def test_a_stem_that_timm_cannot_build_is_told_and_refused_by_timm(a_run):
    result = export(a_run("small"), "timm", samples=0)
    (warning,) = result.warnings
    assert "timm.create_model refuses this folder" in warning
    assert "load.py" in warning
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model(f"local-dir:{result.path}", pretrained=True)


def test_the_torchscript_and_the_program_say_what_they_are(a_run):
    run = a_run()
    more = {"kd.json": ""}
    torch.export.load(export(run, "pt2", samples=0).path / "model.pt2", extra_files=more)
    assert json.loads(more["kd.json"])["target"] == "pt2"
    more = {"kd.json": ""}
    with pytest.warns((FutureWarning, DeprecationWarning)):
        torch.jit.load(export(run, "torchscript", samples=0).path / "model.pt", _extra_files=more)
    assert json.loads(more["kd.json"])["model"]["name"] == "resnet10t"


NO_KD = """
import sys
class NoKd:
    def find_spec(self, name, *more):
        if name.split(".")[0] == "kdcore":
            raise ImportError("kd is not here")
sys.meta_path.insert(0, NoKd())
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_script_classifies_images_without_kd(a_run, tmp_path):
    run = a_run("small")
    path = export(run, "torch", samples=0).path
    source = open_split(open_run_student(run).spec.data, "test", plugins=get_plugins(), where="")
    file = tmp_path / "image.png"
    source[0][0].resize((40, 24)).save(file)
    done = subprocess.run(
        [sys.executable, "-c", NO_KD, str(path / "load.py"), str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.startswith(f"{file}: ")
    assert done.stdout.count("%") == 5


@pytest.mark.parametrize(
    ("data", "mode", "size"),
    [
        ({}, "L", (16, 16)),
        ({}, "RGB", (37, 23)),
        ({}, "P", (23, 40)),
        ({"channels": 1}, "RGB", (20, 31)),
        ({"crop_pct": 0.8, "interpolation": "bilinear"}, "RGB", (31, 64)),
        ({"interpolation": "nearest", "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}, "RGBA", (50, 17)),
        ({}, "I;16", (24, 24)),
    ],
)
def test_the_script_prepares_images_as_kd_does(make_run, data, mode, size):
    run = make_run("x", {"model": "resnet10t", "options": {"channels": [4, 4, 4, 4]}}, data=data)
    path = export(run, "torch", samples=0).path
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert(mode)
    student = open_run_student(run)
    wanted = eval_transform(student.spec.data, student.input)(image)
    np.testing.assert_array_equal(import_export_script(path).prepared(image), wanted.numpy())


def test_which_weights(a_run):
    run = a_run()
    given = {
        weights: run_script(export(run, "torch", weights=weights, samples=4).path)(images().numpy())
        for weights in ("last", "ema", "best")
    }
    np.testing.assert_allclose(given["last"], logits_of(run, images()), atol=1e-5)
    with torch.inference_mode():
        np.testing.assert_allclose(given["ema"], load_student(run / "student-ema").model(images()), atol=1e-5)
    assert np.abs(given["best"] - given["last"]).max() > 0.01
    assert {path.name for path in (run / "export").iterdir()} == {"torch", "torch-ema", "torch-best"}


@pytest.mark.parametrize("name", ["resnet", "small"])
def test_an_unfinished_run_has_its_best_weights(make_run, students, name):
    run = make_run("going", students[name], status="interrupted")
    with pytest.raises(UserError, match="--best uses its best weights so far"):
        export(run, "torch")
    result = export(run, "torch", weights="best", samples=5)
    assert result.epoch == 1
    assert "not finished" in result.warnings[0]
    assert result.check.same_top1 == 5


# -- a plugin's model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["torch", "pt2", "torchscript"])
def test_a_plugins_model(make_run, own_model, to):
    result = export(make_run("own", own_model), to, samples=6)
    assert result.check.same_top1 == 6
    text = (result.path / "load.py").read_text()
    assert ("from kd_own_net import build" in text) == (to == "torch")
    assert ("model = build(10, 3, width=6)" in text) == (to == "torch")


def test_timm_cannot_build_a_plugins_model(make_run, own_model):
    run = make_run("own", own_model)
    with pytest.raises(
        UserError, match="timm cannot build this student: own_net, a model of plugin kd-own"
    ) as caught:
        export(run, "timm")
    assert caught.value.problems[0].allowed == "coreml, executorch, onnx, openvino, pt2, torch, torchscript"
    assert not (run / "export" / "timm").exists()


# -- what is wrong --------------------------------------------------------------------------------------------------


def test_no_such_run(a_run):
    run = a_run()
    with pytest.raises(UserError) as caught:
        export(run.with_name("resnte"), "torch")
    (problem,) = caught.value.problems
    assert "no such run" in problem.message
    assert problem.nearest == str(run)
    with pytest.raises(UserError, match="not a run directory"):
        export(run.parent, "torch")
    with pytest.raises(UserError, match="this is a file"):
        export(run / "spec.json", "torch")


@pytest.mark.parametrize(
    ("to", "more", "message", "nearest"),
    [
        ("onxn", {}, "there is no exporter of this name", "onnx"),
        ("pt2", {"int8": True}, "exported with its weights as they are", None),
    ],
)
def test_no_such_target(a_run, to, more, message, nearest):
    with pytest.raises(UserError, match=message) as caught:
        export(a_run(), to, **more)
    assert caught.value.problems[0].nearest == nearest


def test_a_missing_library_is_told_with_its_command(a_run, monkeypatch):
    def version(name):
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "1.1" if name == "onnx" else "9.9"

    monkeypatch.setattr("kd_export.exporters.metadata.version", version)
    with pytest.raises(
        UserError, match=r"needs onnx>=1\.19 \(version 1\.1 is installed\) and onnxruntime, which is missing"
    ) as caught:
        export(a_run(), "onnx")
    assert caught.value.problems[0].hint == pip_install("onnx>=1.19", "onnxruntime>=1.28")


def test_a_relative_path_of_a_run(a_run, monkeypatch):
    run = a_run()
    monkeypatch.chdir(run.parent)
    result = export(run.name, "torchscript", samples=2)
    assert result.path == Path(run.name) / "export" / "torchscript"
    assert result.check.same_top1 == 2


def test_there_is_no_average(make_run, students):
    with pytest.raises(UserError, match="has no averaged student"):
        export(make_run("x", students["resnet"]), "torch", weights="ema")


def test_damaged_best_weights(a_run):
    run = a_run()
    state = run / "checkpoints" / "best" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged"):
        export(run, "torch", weights="best")


def test_an_earlier_export_is_replaced_by_force_only(a_run):
    run = a_run()
    first = export(run, "torch", samples=0).path
    before = (first / "kd.json").stat().st_mtime_ns
    (first / "__pycache__").mkdir()
    (first / "__pycache__" / "load.pyc").touch()  # of a program that imported the script
    with pytest.raises(UserError, match="an earlier export is here"):
        export(run, "torch", samples=0)
    assert (first / "kd.json").stat().st_mtime_ns == before
    export(run, "torch", samples=0, force=True)
    assert (first / "kd.json").stat().st_mtime_ns > before
    assert not (first / "__pycache__").exists()


def test_files_that_were_added_to_an_export_are_never_removed(a_run):
    run = a_run()
    folder = export(run, "torch", samples=0).path
    about = json.loads((folder / "kd.json").read_text())
    assert about["files"] == sorted(path.name for path in folder.iterdir())
    (folder / "more").mkdir()
    for name in ("model.tflite", "more/note.txt"):
        (folder / name).write_text("mine")
    with pytest.raises(
        UserError, match=r"files that kd did not write: model\.tflite, more/note\.txt"
    ) as caught:
        export(run, "torch", samples=0, force=True)
    assert "another --output" in caught.value.problems[0].hint
    assert (folder / "model.tflite").read_text() == "mine"


def test_a_folder_of_something_else_is_never_replaced(a_run, tmp_path):
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter-1.tex").touch()
    with pytest.raises(UserError, match="something else here"):
        export(a_run(), "torch", output=other, force=True, samples=0)
    assert [path.name for path in other.iterdir()] == ["chapter-1.tex"]


def test_an_empty_folder_is_filled(a_run, tmp_path):
    (tmp_path / "new").mkdir()
    assert export(a_run(), "torch", output=tmp_path / "new", samples=0).path == tmp_path / "new"
    assert (tmp_path / "new" / "model.safetensors").exists()


@pytest.mark.parametrize("output", [".", "..", "/"])
def test_the_current_folder_is_not_replaced(a_run, tmp_path, monkeypatch, output):
    run = a_run()
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "empty" / "inner")
    with pytest.raises(UserError, match="current folder or one around it") as caught:
        export(run, "torch", output=output, samples=0)
    assert caught.value.problems[0].where == "--output"


def test_a_link_to_an_empty_folder_stays_a_link(a_run, tmp_path):
    folder, link = tmp_path / "a" / "folder", tmp_path / "b" / "link"
    folder.mkdir(parents=True)
    link.parent.mkdir()
    link.symlink_to(folder)
    assert export(a_run(), "torch", output=link, samples=0).path == link
    assert (folder / "model.safetensors").exists()
    assert [path.name for each in (folder, link) for path in each.parent.iterdir()] == ["folder", "link"]
    assert link.is_symlink()


def test_other_hidden_files_next_to_the_output_stay(a_run, tmp_path):
    names = [".env.999999999.old", ".notes.999999999.tmp"]
    for name in names:
        (tmp_path / "place" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "place" / name).touch()
    left = tmp_path / "place" / ".out.999999999.tmp"  # of an export that was killed
    left.mkdir()
    export(a_run(), "torch", output=tmp_path / "place" / "out", samples=0)
    assert sorted(path.name for path in (tmp_path / "place").iterdir()) == [*names, "out"]


@pytest.mark.parametrize(
    ("name", "options"), [("resnet", {"drop_path_rate": 0.1}), ("vit", {"drop_rate": 0.1, "img_size": 16})]
)
def test_a_student_that_drops_something_is_no_other_network(make_run, students, name, options):
    student = {**students[name], "options": {**students[name]["options"], **options}, "small_input": False}
    run = make_run(name, student)
    recipe = recipe_of(open_run_student(run))
    assert not recipe.changed
    assert "drop" not in recipe.lines[0]
    assert export(run, "torch", samples=4).check.largest_difference == 0
    assert export(run, "timm", samples=4).warnings == ()


def test_what_a_small_input_changes_does_not_depend_on_what_is_dropped(make_run, students):
    small = students["small"]
    dropping = {**small, "options": {**small["options"], "drop_path_rate": 0.1}}
    runs = make_run("plain", small), make_run("drop", dropping)
    assert len({recipe_of(open_run_student(run)).lines for run in runs}) == 1


def test_nothing_is_left_where_the_export_is_another_model(a_run, monkeypatch):
    run = a_run()
    monkeypatch.setattr(
        checking, "run_script", lambda folder: lambda taken: np.zeros((len(taken), 10), np.float32)
    )
    with pytest.raises(RunFailed, match=r"torch of kd-export \S+ gives other logits than the student"):
        export(run, "torch", samples=4)
    assert list((run / "export").iterdir()) == []


def test_nothing_is_left_where_the_exporter_fails(a_run, monkeypatch):
    run = a_run()

    def fail(*args, **more):
        raise ValueError("data-dependent\nand so on")

    monkeypatch.setattr(torch.export, "export", fail)
    with pytest.raises(RunFailed, match=r"cannot be exported to pt2: ValueError: data-dependent$"):
        export(run, "pt2", samples=4)
    assert list((run / "export").iterdir()) == []


def test_an_export_that_takes_one_size_of_batch_only(a_run, monkeypatch):
    def load(folder):
        def student(taken):
            raise RuntimeError("size mismatch")

        return student

    monkeypatch.setattr(checking, "run_script", load)
    with pytest.raises(RunFailed, match="cannot be used on one image: RuntimeError: size mismatch"):
        export(a_run(), "torch", samples=4)


def test_the_data_is_not_needed_without_a_check(make_run, students, tmp_path):
    run = make_run("moved", students["resnet"])
    spec = json.loads((run / "spec.json").read_text())
    spec["data"]["dataset"] = str(tmp_path / "gone")
    (run / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(UserError, match="there is no folder, archive or table"):
        export(run, "torch")
    result = export(run, "torch", samples=0)
    about = json.loads((result.path / "kd.json").read_text())
    assert about["results"]["dataset"] == "gone"  # not where it lies on this machine
