from __future__ import annotations

import json
import shutil

import pytest
import timm
import torch
from kd_report import evaluate
from kd_report.cli.eval_table import rows
from PIL import Image
from safetensors.torch import load_file, save_file

from kdcore import UserError, load_student, run

QUICK = {"batch_sizes": ()}
HERE = "the folder of images"


def test_a_run_beside_its_teacher(pair, numbers):
    found = evaluate(pair, batch_sizes=(1, 3))
    summary = json.loads((pair / "summary.json").read_text())
    assert (found.images, found.labelled) == (60, 60)
    assert (found.dataset, found.split, found.weights) == ("numbers", "test", "last")
    assert found.student.top1 == pytest.approx(summary["student"]["top1"])
    assert found.student.top5 == pytest.approx(summary["student"]["top5"])
    assert found.teacher.top1 == pytest.approx(summary["teacher"]["top1"])
    assert found.agreement == pytest.approx(summary["student"]["agreement"])
    assert found.divergence > 0
    assert found.student.parameters == summary["student"]["parameters"]
    assert 0 < found.student.macs < found.teacher.macs
    assert found.student.image_size == (16, 16)
    assert 0 <= found.student.ece <= 100
    assert found.student.nll > 0
    assert [speed.batch_size for speed in found.teacher.speed] == [1, 3]
    assert "thread" in found.machine
    json.dumps(found.as_dict())


def test_the_weights_of_a_run(pair):
    scores = {weights: evaluate(pair, weights=weights, **QUICK) for weights in ("ema", "best")}
    summary = json.loads((pair / "summary.json").read_text())
    assert scores["ema"].student.top1 == pytest.approx(summary["student"]["ema"]["top1"])
    assert scores["best"].student.top1 == pytest.approx(summary["student"]["best_top1"])


def test_fewer_images_and_another_split(pair):
    found = evaluate(pair, split="train", samples=30, teacher=False, **QUICK)
    assert found.images == 30
    assert found.split == "train"
    assert found.teacher is found.agreement is found.teacher_missing is None


def test_another_teacher(pair):
    itself = evaluate(pair, teacher=pair, samples=20, **QUICK)
    assert itself.agreement == 100
    assert itself.divergence == pytest.approx(0, abs=1e-6)


def test_a_teacher_that_is_gone_is_told(pair, tmp_path):
    run = shutil.copytree(pair, tmp_path / "alone")
    spec = json.loads((run / "spec.json").read_text())
    spec["teacher"]["run"] = str(tmp_path / "gone.json")
    (run / "spec.json").write_text(json.dumps(spec))
    found = evaluate(run, samples=10, **QUICK)
    assert found.teacher is None
    assert "gone.json" in found.teacher_missing


def test_a_checkpoint_file(pair, narrow, numbers):
    file = pair / "student" / "model.safetensors"
    given = {"data": numbers, "image_size": 16, "options": narrow, **QUICK}
    found = evaluate(file, model="resnet10t", **given)
    whole = evaluate(pair, data=numbers, teacher=False, **QUICK)
    assert found.images == whole.images == 80  # not the run's eval_samples: other data was asked for
    assert found.student.top1 == whole.student.top1
    assert found.weights is None
    same = evaluate("resnet10t", checkpoint=file, **given)
    assert same.student == found.student
    with pytest.raises(UserError, match="a checkpoint does not contain the name of its model"):
        evaluate(file, **given)


def test_a_students_folder(pair, numbers):
    found = evaluate(pair / "student", data=numbers, samples=40, **QUICK)
    assert found.student.name == "resnet10t"
    assert found.images == 40
    assert found.student.image_size == (16, 16)


@pytest.mark.parametrize(
    ("target", "more", "where", "text"),
    [
        ("student", {"weights": "ema"}, "--ema", "one set of weights"),
        ("student", {"model": "resnet18"}, "--model", "which knows its model"),
        ("student", {"pretrained": True}, "--pretrained", "which knows its model"),
        ("student", {"checkpoint": "other.pth"}, "--checkpoint", "which knows its model"),
        (
            "student/model.safetensors",
            {"model": "resnet10t", "weights": "best"},
            "--best",
            "one set of weights",
        ),
        (
            "student/model.safetensors",
            {"model": "resnet10t", "checkpoint": "other.pth"},
            "--checkpoint",
            "TARGET is a checkpoint, too",
        ),
        ("student/missing.safetensors", {"model": "resnet10t"}, "TARGET", "no such checkpoint file"),
    ],
)
def test_a_flag_that_would_not_be_read_is_refused(pair, target, more, where, text, numbers):
    with pytest.raises(UserError) as caught:
        evaluate(pair / target, data=numbers, image_size=16, **more, **QUICK)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert text in problem.message


def test_random_weights_are_told(narrow, numbers):
    found = evaluate("resnet10t", data=numbers, image_size=16, options=narrow, samples=10, **QUICK)
    assert any("random" in warning for warning in found.warnings)


def test_unlabelled_images(pair, tmp_path):
    folder = tmp_path / "images" / "test"
    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (16, 16), (60 * number,) * 3).save(folder / f"{number}.png")
    found = evaluate(pair, data=str(tmp_path / "images"), **QUICK)
    assert (found.images, found.labelled) == (4, 0)
    assert found.student.top1 is found.student.nll is found.student.ece is None
    assert found.agreement is not None
    assert found.dataset == "images"


@pytest.mark.parametrize(
    ("target", "more", "where", "text", "nearest"),
    [
        ("resnte18", {"data": HERE}, "TARGET", "has a model of this name", "resnet18"),
        ("resnet18", {}, "--data", "Only a run knows its own images", None),
        (
            "resnet18",
            {"data": HERE, "split": "tset"},
            "--split",
            "does not have a folder for this split",
            "test",
        ),
        ("resnet18", {"data": "digist"}, "--data", "digist", "digits"),
        ("resnet18", {"data": HERE, "options": {"dept": 1}}, "--option dept", "", None),
        ("runs/nothing", {}, "RUN", "no such run", None),
    ],
)
def test_what_is_wrong(target, more, where, text, nearest, numbers):
    given = {key: numbers if value == HERE else value for key, value in more.items()}
    with pytest.raises(UserError) as caught:
        evaluate(target, **given, **QUICK)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert text in str(problem)
    assert problem.nearest == nearest


def test_what_is_wrong_with_a_run(pair, tmp_path):
    with pytest.raises(UserError, match="no such run") as caught:
        evaluate(pair.with_name("studnet"), **QUICK)
    assert caught.value.problems[0].nearest == str(pair)
    with pytest.raises(UserError, match="knows its model"):
        evaluate(pair, pretrained=True, **QUICK)
    with pytest.raises(UserError, match="numbers does not have a folder for this split") as caught:
        evaluate(pair, split="tests", **QUICK)
    assert caught.value.problems[0].where == "--split"
    assert caught.value.problems[0].nearest == "test"
    with pytest.raises(UserError, match="--teacher"):
        evaluate(pair, teacher="resnte34", **QUICK)
    with pytest.raises(UserError, match="--batch-sizes"):
        evaluate(pair, batch_sizes=(0,))
    with pytest.raises(UserError, match="--device"):
        evaluate(pair, device="nonsense", **QUICK)


def test_other_classes_are_refused(pair, tmp_path):
    for name in ("cat", "dog"):
        folder = tmp_path / "pets" / "test" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(folder / "1.png")
    with pytest.raises(
        UserError, match=r"class names of the model and of the data differ \(10 and 2 classes"
    ):
        evaluate(pair, data=str(tmp_path / "pets"), **QUICK)


def test_weights_that_know_other_classes(pair, tmp_path, narrow, numbers):
    weights = load_file(pair / "student" / "model.safetensors")
    weights["fc.weight"], weights["fc.bias"] = torch.zeros(7, 8), torch.zeros(7)
    torch.save(weights, tmp_path / "seven.pth")
    with pytest.raises(UserError, match="knows 7 classes, the data has 10"):
        evaluate(
            tmp_path / "seven.pth", model="resnet10t", options=narrow, data=numbers, image_size=16, **QUICK
        )


def test_nothing_is_changed_in_the_run(pair):
    before = {path: path.stat().st_mtime_ns for path in pair.rglob("*")}
    evaluate(pair, samples=10, **QUICK)
    assert {path: path.stat().st_mtime_ns for path in pair.rglob("*")} == before
    assert load_student(pair).model.training is False


def test_a_run_whose_weights_are_not_finite(pair, tmp_path):
    run = shutil.copytree(pair, tmp_path / "broken")
    file = run / "student" / "model.safetensors"
    state = load_file(file)
    state["fc.weight"][0, 0] = float("nan")
    save_file(state, file)
    config = run / "student" / "config.json"  # without its checksum the file is not reported as damaged
    written = json.loads(config.read_text())
    del written["kdcore"]["sha256"]
    config.write_text(json.dumps(written))
    with pytest.raises(UserError, match=r"weights are not finite: NaN or infinity in fc.weight"):
        evaluate(run, teacher=False, **QUICK)


def test_a_model_whose_logits_are_not_finite(pair, tmp_path, numbers):
    state = timm.create_model("test_resnet", num_classes=10).state_dict()
    state["bn1.running_var"].fill_(-1.0)  # finite, and its root is not
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match="logits are NaN or infinite for 20 of 20 images"):
        evaluate(tmp_path / "w.pth", model="test_resnet", data=numbers, image_size=32, samples=20, **QUICK)


def test_any_k_below_the_number_of_classes(pair, numbers, narrow):
    found = evaluate(pair, top_k=(2, 3, 2), samples=40, **QUICK)
    scores = [found.student.top1, *(found.student.scores[f"top{k}"] for k in (2, 3)), found.student.top5]
    assert scores == sorted(scores)
    assert "top3" in found.student.intervals
    assert "top3" in found.teacher.scores
    assert {"top-2", "top-3"} <= {row[0] for row in rows(found)}
    with pytest.raises(UserError, match="with 10 classes") as caught:
        evaluate(pair, top_k=(3, 10), **QUICK)
    assert (caught.value.problems[0].where, caught.value.problems[0].allowed) == ("--top-k", "1 to 9")
    model = {"model": "resnet10t", "options": {"channels": narrow["channels"]}, "image_size": 16}
    other = evaluate("resnet10t", data=numbers, top_k=(4,), samples=20, **{**model, "model": None}, **QUICK)
    assert "top4" in other.student.scores


def test_how_a_table_is_read(pair, numbers, tmp_path):
    table = tmp_path / "t.csv"
    names = [f"{label}/{number}.png" for label in range(10) for number in range(2)]
    rows_of = (f"{name}:{name[0]}:{split}\n" for split in ("train", "test") for name in names)
    table.write_text("Datei:Größe:Teil\n" + "".join(rows_of), encoding="cp1252")
    given = {"data": str(table), "root": f"{numbers}/test", **QUICK}
    options = {"path": "Datei", "label": "Größe", "split": "Teil", "delimiter": ":", "encoding": "cp1252"}
    assert evaluate(pair, table_options=options, **given).labelled == 20
    for wrong, where in (({}, "encoding"), ({**options, "path": "Bild"}, "path")):
        with pytest.raises(UserError) as caught:
            evaluate(pair, table_options=wrong, **given)
        assert caught.value.problems[0].where == f"--table-option {where}"
    with pytest.raises(UserError, match="--table-option: this is for a table"):
        evaluate(pair, data=numbers, table_options=options, **QUICK)


def test_images_that_are_skipped_are_named(tmp_path, narrow):
    for split, label, number in [
        (split, label, number) for split in ("train", "test") for label in "ab" for number in range(3)
    ]:
        file = tmp_path / "images" / split / label / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(file)
    file.write_bytes(b"")
    spec = {
        "name": "skipping",
        "output": str(tmp_path / "runs"),
        "data": {"dataset": str(tmp_path / "images"), "image_size": 16, "workers": 0, "skip_broken": True},
        "student": {"model": "resnet10t", "options": narrow},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 3},
    }
    found = evaluate(run(spec, quiet=True).directory, **QUICK)
    assert (found.images, found.warnings) == (5, (f"1 image cannot be read and is skipped: {file}",))


def test_top_5_is_left_out_with_few_classes(tmp_path):
    for name in ("cat", "dog"):
        folder = tmp_path / "pets" / "test" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(folder / "1.png")
    found = evaluate("test_resnet", data=str(tmp_path / "pets"), image_size=32, **QUICK)
    assert found.student.top5 is None
    labels = [row[0] for row in rows(found)]
    assert "top-1" in labels
    assert "top-5" not in labels


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("m.onnx", b"\x08\x08\x12\x07pytorch\xff", "an ONNX model"),
        ("m.pt2", b"", "an empty file"),
        ("m.pth", b"<html>", "a web page"),
    ],
)
def test_files_that_are_no_checkpoints_are_called_what_they_are(tmp_path, name, content, what, numbers):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^TARGET: is not a checkpoint but {what}"):
        evaluate(tmp_path / name, model="test_resnet", data=numbers, image_size=32, **QUICK)
    with pytest.raises(UserError, match=f"^TARGET: is not a checkpoint but {what}"):
        evaluate(tmp_path / name, data=numbers, **QUICK)
