"""A teacher without a classifier, or with one for other classes."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

import kdcore
from kdcore import AdaptedModel, Distillation, UserError

pytest.importorskip("kd_feature")
FITNET = {"name": "fitnet", "stages": [3]}


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def weights(tmp_path):
    """A file of weights with a classifier for 17 classes."""
    torch.manual_seed(1)
    model = timm.create_model("test_vit", num_classes=17, img_size=32)
    path = tmp_path / "vit.safetensors"
    save_file(model.state_dict(), path)
    return path


def teacher(path, **more):
    return {"model": "test_vit", "checkpoint": str(path), "classifier": False, "image_size": 32, **more}


def test_weights_for_other_classes_teach_features(spec_file, weights):
    path = spec_file(teacher=teacher(weights), distiller=FITNET, task={"weight": 1.0})
    result = kdcore.run(path, quiet=True)
    assert result.summary["status"] == "finished"
    assert result.summary["teacher"]["model"] == "test_vit"
    assert result.summary["teacher"]["top1"] is None
    for record in records(result.directory):
        assert record["terms"]["fitnet"] > 0
        assert "agreement" not in record["eval"]


def test_its_features_are_those_of_the_whole_model(weights):
    state = timm.create_model("test_vit", num_classes=17, img_size=32)
    from safetensors.torch import load_file

    state.load_state_dict(load_file(weights))
    encoder = timm.create_model("test_vit", num_classes=0, img_size=32)
    encoder.load_state_dict({k: v for k, v in state.state_dict().items() if not k.startswith("head.")})
    student = timm.create_model("test_resnet", num_classes=3).eval()
    images, target = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    losses = []
    for model, classifier in ((state, True), (encoder, False)):
        torch.manual_seed(0)
        built = Distillation(
            student,
            AdaptedModel(model=model, classifier=classifier),
            ["fitnet", "rkd"],
            num_classes=3,
            image_size=32,
            task_weight=1.0,
        ).eval()
        out = built(images, target)
        assert (out.teacher_logits is None) or classifier
        losses.append(out.loss)
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("classifier", [17, 0])
def test_the_classifier_of_the_weights_makes_no_difference(spec_file, tmp_path, weights, classifier):
    model = timm.create_model("test_vit", num_classes=17, img_size=32)
    from safetensors.torch import load_file

    state = load_file(weights)
    if not classifier:
        state = {name: value for name, value in state.items() if not name.startswith("head.")}
    del model
    other = tmp_path / "other.safetensors"
    save_file(state, other)
    first = kdcore.run(spec_file("one", teacher=teacher(weights), distiller="rkd"), quiet=True)
    second = kdcore.run(spec_file("two", teacher=teacher(other), distiller="rkd"), quiet=True)
    assert [one["terms"] for one in records(first.directory)] == [
        one["terms"] for one in records(second.directory)
    ]


def test_unlabelled_images_need_no_labels_and_no_logits(spec_file, weights):
    spec = spec_file(teacher=teacher(weights), distiller=[FITNET, "rkd"], task={"weight": 0.0})
    assert kdcore.run(spec, quiet=True).summary["status"] == "finished"


def test_a_cache_holds_no_logits(spec_file, weights):
    plain = kdcore.run(
        spec_file("plain", teacher=teacher(weights), distiller=[FITNET, "rkd"], task={"weight": 1.0}),
        quiet=True,
    )
    cached = spec_file(
        "cached",
        teacher=teacher(weights),
        distiller=[FITNET, "rkd"],
        task={"weight": 1.0},
        teacher_cache={"augmentations": 2, "dtype": "float32"},
    )
    result = kdcore.run(cached, quiet=True)
    (folder,) = (result.directory / "teacher-cache").iterdir()
    assert not list(folder.glob("*logits*"))
    assert [one["terms"] for one in records(result.directory)] == [
        pytest.approx(one["terms"], rel=1e-4) for one in records(plain.directory)
    ]


def test_it_is_resumed_to_the_bit(spec_file, weights):
    whole = kdcore.run(spec_file("whole", teacher=teacher(weights), distiller="rkd"), quiet=True)
    parts = spec_file("parts", teacher=teacher(weights), distiller="rkd")
    kdcore.run(parts, quiet=True, until=1)
    resumed = kdcore.run(parts, quiet=True)
    names = [run.directory / "student" / "model.safetensors" for run in (whole, resumed)]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_a_run_directory_can_be_the_encoder(spec_file, tmp_path):
    pytest.importorskip("kd_feature")
    below = spec_file("below", data={"num_classes": None}, student={"model": "test_vit", "options": {}})
    finished = kdcore.run(below, quiet=True)
    spec = spec_file(
        "above", teacher={"checkpoint": str(finished.directory), "classifier": False}, distiller="rkd"
    )
    result = kdcore.run(spec, quiet=True)
    assert result.summary["teacher"]["top1"] is None
    spec = spec_file("from-run", teacher={"run": "below.json", "classifier": False}, distiller="rkd")
    assert kdcore.run(spec, quiet=True).summary["status"] == "finished"


def test_a_distiller_of_logits_is_refused_before_training(spec_file, weights):
    pytest.importorskip("kd_classic")
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec_file(teacher=teacher(weights), distiller="dkd"))
    (problem,) = caught.value.problems
    assert problem.where == "teacher.classifier"
    assert problem.message == "distiller 'dkd' reads the teacher's logits, and this teacher has no classifier"
    assert problem.allowed.startswith("with this teacher work: ")
    works = problem.allowed.partition(": ")[2].split(", ")
    assert {"fitnet", "rkd", "sp", "crd"} <= set(works)
    assert not {"kd", "dkd", "nkd", "dist", "vanilla"} & set(works)


def test_without_the_setting_the_error_names_it(spec_file, weights):
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec_file(teacher={**teacher(weights), "classifier": True}, distiller=FITNET))
    (problem,) = caught.value.problems
    assert "the checkpoint knows 17 classes, the data has 10" in problem.message
    assert "classifier" in problem.hint


def test_weights_of_another_model_are_still_an_error(spec_file, tmp_path, weights):
    other = tmp_path / "resnet.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=17).state_dict(), other)
    with pytest.raises(UserError, match="do not fit"):
        kdcore.validate(spec_file(teacher=teacher(other), distiller=FITNET))


def test_a_run_with_an_encoder_is_opened_again(spec_file, weights):
    result = kdcore.run(spec_file(teacher=teacher(weights), distiller="rkd"), quiet=True)
    opened = kdcore.open_run(result.directory)
    assert opened.teacher.model is None
    assert opened.teacher.missing == "the teacher is an encoder: it has no predictions"
    report = pytest.importorskip("kd_report").report
    page = report(result.directory).path.read_text()
    assert "it has no predictions" in page or "encoder" in page
