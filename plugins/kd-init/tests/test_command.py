"""`kd init`: a spec for the pair at hand, never a wrong one, never over another file."""

from __future__ import annotations

import json
import sys

import pytest
import typer
from PIL import Image

from kdcore.inspect import load_spec


@pytest.fixture
def init(kd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return kd("init", *arguments, "--no-models")

    return call


@pytest.fixture
def answers(monkeypatch):
    """Answers the questions with these, and with what is suggested where they end; has what was asked."""
    given, asked = [], []

    def prompt(question, default, **_):
        asked.append(question)
        return given.pop(0) if given else default

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", prompt)
    prompt.given, prompt.asked = given, asked
    return prompt


@pytest.mark.parametrize("name", ["a.toml", "a.yaml", "a.json"])
def test_defaults(init, tmp_path, name):
    done = init(name, "--yes")
    assert (done.code, done.err) == (0, "")
    stem, suffix = name.split(".")
    assert done.out == f"wrote {name}\nwrote {stem}-teacher.{suffix}\nnext: kd run {name}\n"
    loaded = load_spec(tmp_path / name)
    assert (loaded.spec.student.model, loaded.distillers[0].name) == ("resnet10t", "twin")
    assert loaded.teachers["teacher"].spec.student.model == "resnet34"


def test_the_models_are_built(kd, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    monkeypatch.chdir(tmp_path)
    done = kd("init", "a.json", "--yes", "--teacher", "resnet18", "--teacher-weights", "pretrained")
    assert done.code == 2
    assert "the weights know 1000 classes, the data has 10" in done.err
    assert not list(tmp_path.iterdir())


def test_as_json(init):
    made = json.loads(init("a.toml", "--yes", "--teacher", "none", "--epochs", "2", "--json").out)
    assert made["files"] == ["a.toml"]
    assert made["spec"]["distiller"] == {"name": "vanilla"}
    assert made["spec"]["train"] == {"epochs": 2}


def test_flags(init, tmp_path):
    flags = ["--dataset", "torch/cifar100", "--student", "resnet18", "--teacher", "vit_small_patch16_224"]
    assert init("a.yaml", "--yes", *flags).code == 0
    loaded = load_spec(tmp_path / "a.yaml")
    assert (loaded.spec.recipe.applied, loaded.distillers[0].name) == ("cifar-240", "bridge")
    assert loaded.spec.data.root == str(tmp_path / "data")
    assert loaded.teachers["teacher"].spec.recipe.applied == "cifar-224-finetune"
    assert loaded.teachers["teacher"].spec.student.pretrained


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--student", "resnt18", "did you mean 'resnet18'?"),
        ("--teacher", "resnt18", "did you mean 'resnet18'?"),
        ("--teacher", "gone/model.safetensors", "there is no checkpoint, run directory or spec"),
        ("--teacher-weights", "trained", "did you mean 'train'?"),
        ("--distiller", "quite", "did you mean 'quiet'?"),
        ("--recipe", "cifar240", "did you mean 'cifar-240'?"),
        ("--dataset", "digit", "did you mean 'digits'?"),
        ("--image-size", "big", "whole numbers from 8"),
        ("--image-size", "48x4", "height and width such as 48x96"),
        ("--small-input", "maybe", "allowed: yes, no"),
    ],
)
def test_wrong_flags(init, tmp_path, flag, value, words):
    done = init("a.toml", "--yes", flag, value)
    assert done.code == 2
    assert f"error: {flag}: " in done.err
    assert words in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "flag", "words"),
    [
        (
            ["--teacher", "none", "--teacher-weights", "train"],
            "--teacher-weights",
            "a model or a file of weights",
        ),
        (["--teacher-model", "resnet18"], "--teacher-model", "a teacher's file of weights"),
        (["--small-input", "yes", "--image-size", "224"], "--small-input", "at most 64 px"),
    ],
)
def test_a_flag_that_nothing_asks_for_is_refused(init, tmp_path, flags, flag, words):
    done = init("a.toml", "--yes", *flags)
    assert done.code == 2
    assert f"error: {flag}: " in done.err
    assert words in done.err
    assert not list(tmp_path.iterdir())
    assert init("a.toml", "--yes", "--small-input", "no", "--image-size", "224").code == 0


def test_nothing_is_overwritten(init, tmp_path):
    (tmp_path / "a.toml").write_text("mine")
    (tmp_path / "b-teacher.toml").write_text("mine")
    assert "a.toml already exists" in init("a.toml", "--yes").err
    assert "b-teacher.toml already exists" in init("b.toml", "--yes").err
    assert {path.name for path in tmp_path.iterdir()} == {"a.toml", "b-teacher.toml"}
    assert (tmp_path / "a.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "words"), [("a.txt", ".json, .toml, .yaml, .yml"), ("no/a.toml", "does not exist")]
)
def test_wrong_files(init, name, words):
    done = init(name, "--yes")
    assert done.code == 2
    assert words in done.err


def test_nobody_to_be_asked(init):
    done = init("a.toml")
    assert done.code == 2
    assert "--dataset: this is missing, and kd cannot ask" in done.err
    assert "--yes" in done.err


def test_questions(init, answers, tmp_path):
    answers.given[:] = ["digit", "digits", "resnet18"]
    done = init("a.toml")
    assert done.code == 0
    assert "did you mean 'digits'?" in done.err
    first = answers.asked[0]
    assert first == answers.asked[1]
    assert "suggested: digits, built in" in first
    assert any("suited: twin" in question for question in answers.asked)
    assert load_spec(tmp_path / "a.toml").spec.student.model == "resnet18"


def test_a_teacher_that_is_there(init, tmp_path):
    (tmp_path / "t.json").write_text('{"student": {"model": "resnet34"}, "distiller": "vanilla"}')
    (tmp_path / "t.safetensors").write_text("")
    (tmp_path / "specs").mkdir()
    assert init("specs/a.json", "--yes", "--teacher", "t.json").code == 0
    assert load_spec(tmp_path / "specs" / "a.json").teachers["teacher"].spec.student.model == "resnet34"
    assert json.loads((tmp_path / "specs" / "a.json").read_text())["teacher"] == {"run": "../t.json"}
    assert init("b.json", "--yes", "--teacher", "t.safetensors", "--teacher-model", "resnet50").code == 0
    assert json.loads((tmp_path / "b.json").read_text())["teacher"] == {
        "model": "resnet50",
        "checkpoint": "t.safetensors",
    }


def test_a_table_beside_a_spec_in_another_folder(init, tmp_path):
    (tmp_path / "photos.csv").write_text("path,label,split\na.png,cat,train\nb.png,dog,test\n")
    (tmp_path / "specs").mkdir()
    flags = ("--yes", "--no-models", "--teacher", "none", "--dataset")
    assert init("specs/a.json", *flags, "photos.csv").code == 0
    assert json.loads((tmp_path / "specs" / "a.json").read_text())["data"]["dataset"] == "../photos.csv"
    assert load_spec(tmp_path / "specs" / "a.json").spec.data.dataset == str(tmp_path / "photos.csv")


def test_a_file_of_weights_with_other_classes_is_finetuned(init, tmp_path):
    (tmp_path / "t.safetensors").write_text("")
    (tmp_path / "specs").mkdir()
    flags = ("--yes", "--teacher", "t.safetensors", "--teacher-model", "resnet50", "--teacher-weights")
    assert init("specs/a.json", *flags, "finetune").code == 0
    assert json.loads((tmp_path / "specs" / "a.json").read_text())["teacher"] == {"run": "a-teacher.json"}
    teacher = json.loads((tmp_path / "specs" / "a-teacher.json").read_text())
    assert teacher["student"] == {"model": "resnet50", "checkpoint": "../t.safetensors"}
    assert teacher["data"]["image_size"] == 224
    done = init("b.json", *flags, "train")
    assert (done.code, "given, finetune" in done.err) == (2, True)


def test_a_folder_of_images(init, tmp_path):
    folder = tmp_path / "photos" / "cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (100, 90)).save(folder / "a.png")
    assert init("a.json", "--yes", "--dataset", "photos").code == 0
    spec = json.loads((tmp_path / "a.json").read_text())
    assert spec["data"] == {"dataset": "photos", "train_split": "", "eval_split": "", "image_size": 224}
    assert spec["recipe"] == "imagenet-100"
