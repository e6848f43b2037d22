"""Core ML: what the model's description says. Predicting with it needs macOS."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kd_export import export

from kdcore import UserError
from kdcore.inspect import about_student, open_run_student

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="coremltools has no packages for Windows")


def spec_of(folder):
    from coremltools.proto import Model_pb2

    found = Model_pb2.Model()
    found.ParseFromString(
        (folder / "model.mlpackage" / "Data" / "com.apple.CoreML" / "model.mlmodel").read_bytes()
    )
    return found


def operations(spec):
    main = spec.mlProgram.functions["main"]
    found = main.block_specializations[main.opset].operations
    return [each.type for each in found if each.type != "const"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "fp16", "kind"), [("resnet", False, "image"), ("vit", True, "array")])
def test_the_description_of_the_model(a_run, name, fp16, kind):
    pytest.importorskip("coremltools", reason="needs the extra 'coreml'")
    run = a_run(name)
    result = export(run, "coreml", fp16=fp16, options={"input": kind}, samples=3)
    assert next(iter(result.files)).startswith("model.mlpackage/")
    spec = spec_of(result.path)
    (taken,) = spec.description.input
    if kind == "image":
        assert taken.name == "image"
        size = taken.type.imageType
        assert (size.height, size.width, size.colorSpace) == (16, 16, size.RGB)
        assert operations(spec)[0] == "sub"  # the normalisation
    else:
        assert taken.name == "images"
        assert list(taken.type.multiArrayType.shape) == [1, 3, 16, 16]
    assert [each.name for each in spec.description.output] == ["class", "probabilities", "logits"]
    assert list(spec.description.output[2].type.multiArrayType.shape) == [1, 10]
    assert spec.description.predictedFeatureName == "class"
    assert spec.description.predictedProbabilitiesName == "probabilities"
    labels = str(spec.mlProgram)
    assert all(f'values: "{digit}"' in labels for digit in range(10))
    facts = spec.description.metadata.userDefined
    assert json.loads(facts["classes"]) == [str(digit) for digit in range(10)]
    assert json.loads(facts["kd"])["run"] == name
    weights = result.files["model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"]
    parameters = open_run_student(run).parameters
    assert weights > (2 if fp16 else 4) * 0.8 * parameters
    assert weights < (2 if fp16 else 4) * 1.3 * parameters + 4096
    if sys.platform != "darwin":
        assert (result.check, result.platforms) == (None, ("darwin",))
        assert "runs on darwin" in result.warnings[0]


@pytest.mark.parametrize("fp16", [False, True])
def test_half_precision_has_a_limit(a_run, tmp_path, monkeypatch, fp16):
    from kd_export.formats import coreml, half

    model = SimpleNamespace(user_defined_metadata={}, save=lambda path: Path(path).mkdir())
    monkeypatch.setattr(coreml, "_converted", lambda *args, **more: model)
    student = open_run_student(a_run())
    written = coreml.write_coreml(student, tmp_path, about_student(student, "coreml"), fp16=fp16)
    assert (written.exact, written.tolerance) == ((False, half.TOLERANCE) if fp16 else (True, None))


def test_pixels_are_normalised_in_the_model(a_run):
    from kd_export.formats.coreml import Pixels

    student = open_run_student(a_run())
    taken = student.input
    pixels = torch.randint(256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float()
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (taken.mean, taken.std))
    with torch.inference_mode():
        wanted = student.model((pixels / 255 - mean) / std)
        chances, logits = Pixels(student.model, taken.mean, taken.std, classifier=True)(pixels)
        again = Pixels(student.model, None, taken.std, classifier=False)((pixels / 255 - mean) / std)
    torch.testing.assert_close(logits, wanted)
    torch.testing.assert_close(chances, wanted.softmax(1))
    torch.testing.assert_close(again, wanted)


def test_images_of_other_channels_need_an_array(make_run):
    from kd_export.formats.coreml import write_coreml

    student = {"model": "resnet10t", "options": {"channels": [4, 4, 4, 4]}}
    opened = open_run_student(make_run("x", student))
    with pytest.raises(UserError, match="Core ML's images are grey or RGB") as caught:
        write_coreml(opened, opened.run.path, {"input": {"mode": None}})
    assert caught.value.problems[0].hint == "--option input=array"
