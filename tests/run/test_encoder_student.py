"""A student without a classifier: trained without labels, measured by its neighbours, saved as a backbone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import kdcore
from kdcore import AdaptedModel, Distillation, Requires, UserError
from kdcore.distill.models import Builder
from kdcore.distill.teacher_classes import DataClasses

pytest.importorskip("kd_feature")
FITNET = {"name": "fitnet", "stages": [3]}
ENCODER = {"classifier": False}
TEACHER = {"model": "test_vit", "classifier": False, "image_size": 32}


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(result, folder="student"):
    return (result.directory / folder / "model.safetensors").read_bytes()


@pytest.fixture
def spec(spec_file):
    """A spec of an encoder that learns from an encoder; keywords change it."""

    def write(name="encoder", **changes):
        return spec_file(name, **{"student": ENCODER, "teacher": TEACHER, "distiller": "rkd", **changes})

    return write


@pytest.fixture
def flat(tmp_path):
    """Images without class folders, and some with labels."""
    draw = np.random.default_rng(0)
    for split, folders in (("train", [""]), ("test", ["a", "b"]), ("plain", [""])):
        for folder in folders:
            place = tmp_path / "images" / split / folder
            place.mkdir(parents=True)
            for number in range(40):
                base = 60 if folder == "a" else 180
                pixels = draw.normal(base, 40, (16, 16, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "images"


def on(folder, **more):
    return {
        "dataset": str(folder),
        "train_samples": None,
        "eval_samples": None,
        "train_split": "train",
        "eval_split": "test",
        **more,
    }


def test_a_run_and_its_measures(spec):
    result = kdcore.run(spec(distiller=["rkd", FITNET], train={"ema": 0.9}), quiet=True)
    summary = result.summary
    assert summary["status"] == "finished"
    for part in (summary["student"], summary["teacher"]):
        assert part["top1"] is None
        assert 0 < part["knn_top1"] <= 100
        assert 0 < part["probe_top1"] <= 100
    assert summary["teacher"]["knn_top1"] > 40  # digits are easy, even for random weights
    first, last = records(result.directory)
    assert 0 < first["eval"]["neighbour_agreement"] < 100
    assert "probe_top1" not in first["eval"]
    assert last["eval"] == {
        name: summary["student"][name] for name in ("knn_top1", "neighbour_agreement", "probe_top1")
    }
    assert set(last["ema"]) == {"knn_top1", "neighbour_agreement", "probe_top1"}
    assert summary["student"]["ema"] == last["ema"]
    assert last["train"] == {"top1": None, "top5": None}
    assert last["task_loss"] == 0
    best = max(records(result.directory), key=lambda one: one["eval"]["knn_top1"])
    assert summary["student"]["best_knn_top1"] == best["eval"]["knn_top1"]
    assert summary["student"]["best_epoch"] == best["epoch"]
    assert json.loads((result.directory / "spec.json").read_text())["task"]["weight"] == 0


def test_it_is_saved_as_a_backbone_of_timm(spec, spec_file):
    result = kdcore.run(spec(), quiet=True)
    name = f"local-dir:{result.directory / 'student'}"
    loaded = timm.create_model(name, pretrained=True, num_classes=0).eval()
    assert timm.create_model(name, pretrained=True, num_classes=7).num_classes == 7
    images = torch.randn(2, 3, 16, 16)
    embedding = loaded(images)
    assert embedding.shape == (2, 16)
    opened = kdcore.open_run(result.directory)
    torch.testing.assert_close(opened.student.model(images), embedding)
    assert opened.student.is_encoder
    assert opened.student.classes is None
    with pytest.raises(UserError, match="the student is an encoder"):
        _ = opened.predictions
    # it teaches
    above = spec_file(
        "above", teacher={"checkpoint": str(result.directory), "classifier": False}, distiller="rkd"
    )
    assert kdcore.run(above, quiet=True).summary["status"] == "finished"


def test_a_run_with_labels_goes_on_from_it(spec, spec_file):
    result = kdcore.run(spec(), quiet=True)
    path = spec_file("labels", student={"checkpoint": str(result.directory)})
    checked = kdcore.validate(path)
    assert any("a new classifier on the encoder of student.checkpoint" in line for line in checked.lines())
    assert not any("classifier" in warning or "random" in warning for warning in checked.warnings)
    finished = kdcore.run(path, quiet=True)
    assert finished.summary["student"]["top1"] is not None
    # it starts from the encoder's weights, and not from its own
    start = build(path)
    state = timm.create_model(f"local-dir:{result.directory / 'student'}", pretrained=True, num_classes=0)
    for key, value in state.state_dict().items():
        assert torch.equal(start.state_dict()[key], value), key
    assert start.num_classes == 10


def build(path):
    from kdcore.inspect import load_spec
    from kdcore.plugin import get_plugins

    loaded = load_spec(path)
    classes = DataClasses(10, None)
    return Builder(loaded.spec, classes, get_plugins()).build(loaded.spec.student, "student", 16).model


def test_a_classifier_cannot_be_taken_from_an_encoder_as_teacher(spec, spec_file):
    result = kdcore.run(spec(), quiet=True)
    with pytest.raises(UserError, match=r"no classifier|missing"):
        kdcore.validate(spec_file("above", teacher={"checkpoint": str(result.directory)}, distiller=FITNET))


def test_an_encoder_can_start_from_a_classifier(spec, spec_file):
    below = kdcore.run(spec_file("below"), quiet=True)
    result = kdcore.run(spec(student={**ENCODER, "checkpoint": str(below.directory)}), quiet=True)
    assert result.summary["status"] == "finished"


def test_it_is_resumed_to_the_bit(spec):
    whole = kdcore.run(spec("whole"), quiet=True)
    kdcore.run(spec("parts"), quiet=True, until=1)
    resumed = kdcore.run(spec("parts"), quiet=True)
    assert weights(whole) == weights(resumed)
    assert [one["eval"] for one in records(whole.directory)] == [
        one["eval"] for one in records(resumed.directory)
    ]


def test_images_without_labels(spec, flat):
    result = kdcore.run(spec(data=on(flat, eval_split="plain")), quiet=True)
    student = result.summary["student"]
    assert result.summary["data"]["num_classes"] == 0
    assert student["knn_top1"] is None
    assert student["probe_top1"] is None
    assert student["neighbour_agreement"] > 0
    assert student["best_neighbour_agreement"] is not None
    assert (result.directory / "checkpoints" / "best").is_dir()


def test_without_an_evaluation_split_the_training_images_are_compared(spec, flat):
    result = kdcore.run(spec(data=on(flat, eval_split=None)), quiet=True)
    assert result.summary["student"]["neighbour_agreement"] > 0


def test_labels_of_the_evaluation_alone_are_enough(spec, flat):
    result = kdcore.run(spec(data=on(flat)), quiet=True)
    assert result.summary["student"]["knn_top1"] > 0
    assert result.summary["student"]["probe_top1"] > 0
    assert result.summary["data"]["num_classes"] == 2


def test_a_teacher_with_a_classifier_needs_the_classes(spec, flat):
    with pytest.raises(UserError, match=r"classes of .* is not known") as caught:
        kdcore.validate(spec(data=on(flat, eval_split=None), teacher={"model": "test_vit", "image_size": 32}))
    (problem,) = caught.value.problems
    assert problem.hint == "set data.num_classes, or teacher.classifier to false"


def test_the_task_loss_is_refused(spec):
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec(task={"weight": 1.0, "label_smoothing": 0.1}, metrics=["accuracy-of-something"]))
    found = {problem.where: problem.message for problem in caught.value.problems}
    assert found["task.weight"] == "the student has no classifier, so there is no task loss"
    assert found["task.label_smoothing"] == "the student has no classifier, so it has no task loss"
    assert "metrics" in found


def test_something_must_teach_it(spec):
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec(distiller="vanilla"))
    (problem,) = caught.value.problems
    assert (problem.where, problem.value) == ("distiller", "vanilla")
    assert "learns from the distiller alone" in problem.message


def test_a_distiller_of_logits_is_refused_with_those_that_work(spec):
    pytest.importorskip("kd_classic")
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec(teacher={"model": "test_vit", "image_size": 32}, distiller="dkd"))
    (problem,) = caught.value.problems
    assert problem.where == "student.classifier"
    assert problem.message == "distiller 'dkd' reads the student's logits, and this student has no classifier"
    works = problem.allowed.removeprefix("with this student work: ").split(", ")
    assert {"fitnet", "rkd", "sp", "crd"} <= set(works)
    assert not {"kd", "dkd", "nkd", "dist", "vanilla"} & set(works)


def test_requirements_say_whether_the_students_logits_are_read():
    assert Requires().reads_student_logits
    assert Requires(teacher=False).reads_student_logits
    assert not Requires(teacher_logits=False).reads_student_logits
    assert Requires(teacher_logits=False, student_logits=True).reads_student_logits
    assert not Requires(student_logits=False).reads_student_logits
    quiet = Requires(student_logits=False)
    assert not quiet.union(quiet).reads_student_logits
    assert quiet.union(Requires()).reads_student_logits


def test_a_cache_holds_what_it_needs(spec):
    cached = spec("cached", teacher_cache={"augmentations": 1, "dtype": "float32"})
    result = kdcore.run(cached, quiet=True)
    (folder,) = (result.directory / "teacher-cache").iterdir()
    assert not list(folder.glob("*logits*"))


def test_in_python(monkeypatch):
    student = timm.create_model("test_resnet", num_classes=0)
    teacher = AdaptedModel(model=timm.create_model("test_vit", num_classes=0, img_size=32), classifier=False)
    built = Distillation(student, teacher, "rkd", image_size=32)
    out = built(torch.randn(4, 3, 32, 32))
    assert out.logits is None
    assert out.task_loss == 0
    out.loss.backward()
    assert all(one.grad is not None for one in student.parameters())
    with pytest.raises(UserError, match="this student has no classifier"):
        Distillation(student, timm.create_model("test_resnet", num_classes=3), "ofa", image_size=32)
    with pytest.raises(UserError, match="the student has a classifier"):
        Distillation(timm.create_model("test_resnet"), teacher, "rkd", image_size=32, task_weight=0.0)


def test_the_report_says_why_it_has_no_figures_on_images(spec):
    report = pytest.importorskip("kd_report").report
    result = kdcore.run(spec(), quiet=True)
    made = report(result.directory)
    assert any("the student is an encoder" in note for note in made.notes)
    assert not any("Left out" in note for note in made.notes)
    evaluate = pytest.importorskip("kd_report").evaluate
    with pytest.raises(UserError, match="this model is an encoder"):
        evaluate(result.directory)
    with pytest.raises(UserError, match="this model is an encoder"):
        evaluate(result.directory / "student", data="digits")


def test_its_export_gives_the_embedding(spec, tmp_path):
    export = pytest.importorskip("kd_export").export
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    result = kdcore.run(spec(train={"epochs": 1}), quiet=True)
    made = export(result.directory, to="onnx", samples=4)
    assert made.check is not None
    assert made.check.same_top1 is None
    session = onnxruntime.InferenceSession(made.path / "model.onnx")
    assert [one.name for one in session.get_outputs()] == ["embedding"]
    images = torch.randn(2, 3, 16, 16)
    (embedding,) = session.run(None, {"images": images.numpy()})
    student = kdcore.open_run(result.directory).student.model
    torch.testing.assert_close(torch.from_numpy(embedding), student(images), rtol=1e-4, atol=1e-4)
    about = json.loads((made.path / "kd.json").read_text())
    assert about["output"] == {"name": "embedding", "shape": ["batch", 16]}
