"""`teacher.classes`: a teacher of more classes, or of the same in another order."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import kdcore
from kdcore import UserError
from kdcore.data.inputs import InputConfig
from kdcore.inspect.open_run import open_run
from kdcore.models import save_student

pytest.importorskip("kd_classic", reason="the methods are not installed")

KNOWN = ("cat", "apple", "dog", "bus", "eel")
DATA = ("apple", "bus", "cat")
SIDE = 32


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images of three classes, a teacher of five, and the same one cut to the three by hand."""
    at = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in DATA:
            folder = at / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = random.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", num_classes=len(KNOWN))
    save(model, at / "five", KNOWN)
    rows = [KNOWN.index(name) for name in DATA]
    classifier = model.get_classifier()
    classifier.weight, classifier.bias = (
        torch.nn.Parameter(value[rows]) for value in (classifier.weight, classifier.bias)
    )
    save(model, at / "three", DATA)
    return at


def save(model, folder, names):
    save_student(
        model, folder, model_name="test_resnet", num_classes=len(names), options={}, small_input=False,
        input=InputConfig((SIDE, SIDE), (0.5,) * 3, (0.5,) * 3), class_names=names,
    )  # fmt: skip


def spec(place, name, checkpoint="five", data=None, distiller="kd", **teacher):
    content = {
        "name": name, "output": "runs", "student": {"model": "test_resnet"}, "distiller": distiller,
        "data": {"dataset": "images", "eval_split": "val", "image_size": SIDE, "workers": 0, **(data or {})},
        "teacher": {"checkpoint": checkpoint, **teacher}, "train": {"epochs": 1, "batch_size": 3}, "report": False,
    }  # fmt: skip
    path = place / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def problem(path):
    with pytest.raises(UserError) as caught:
        kdcore.run(path, quiet=True)
    return caught.value.problems[0]


@pytest.fixture(scope="module")
def by_hand(place):
    return kdcore.run(spec(place, "by-hand", "three"), quiet=True)


MAPPING = {"cat": "cat", "bus": 3, "apple": "Apple"}


@pytest.mark.parametrize("cached", [False, True], ids=["live", "cached"])
@pytest.mark.parametrize("classes", ["by-name", MAPPING], ids=["by-name", "mapping"])
def test_a_subset_in_another_order_gives_the_run_of_a_teacher_cut_by_hand(place, by_hand, classes, cached):
    name = f"{'cached' if cached else 'live'}-{'mapping' if isinstance(classes, dict) else 'names'}"
    path = spec(place, name, classes=classes)
    overrides = ['teacher_cache={"augmentations": 1, "dtype": "float32"}'] if cached else []
    result = kdcore.run(path, quiet=True, overrides=overrides)
    assert result.summary["teacher"]["top1"] == by_hand.summary["teacher"]["top1"]
    assert result.metrics[0]["loss"] == by_hand.metrics[0]["loss"]
    assert result.metrics[0]["eval"] == by_hand.metrics[0]["eval"]


def test_an_opened_run_has_the_same_teacher(place, by_hand):
    images = torch.randn(2, 3, SIDE, SIDE)
    result = kdcore.run(spec(place, "opened", classes="by-name"), quiet=True)
    logits = []
    for directory in (by_hand.directory, result.directory):
        teacher = open_run(directory, teacher=True).teacher.model
        logits.append(teacher.model(images if teacher.transform is None else teacher.transform(images)))
    assert torch.equal(*logits)


def test_another_number_or_order_of_classes_says_how_to_map_them(place):
    found = problem(spec(place, "number"))
    assert found.where == "teacher.checkpoint"
    assert "knows 5 classes, the data has 3" in found.message
    assert "teacher.classes" in found.hint
    torch.manual_seed(0)
    save(timm.create_model("test_resnet", num_classes=3), place / "swapped", ("cat", "bus", "apple"))
    found = problem(spec(place, "order", "swapped"))
    assert "the same class names in another order" in found.message
    assert "teacher: 0 cat, 1 bus, 2 apple; data: 0 apple, 1 bus, 2 cat" in found.message
    assert "teacher.classes" in found.hint
    assert kdcore.run(spec(place, "mapped", "swapped", classes="by-name"), quiet=True).summary["teacher"]


def test_what_is_wrong_with_a_mapping_is_found_before_training(place):
    found = problem(spec(place, "wrong", classes={"apple": 1, "bus": 3, "car": 0}))
    assert (found.where, found.value, found.nearest) == ("teacher.classes", "car", "cat")
    found = problem(spec(place, "type", classes={"apple": 1.5}))
    assert found.where.startswith("teacher.classes")
    found = problem(spec(place, "encoder", classes="by-name", classifier=False))
    assert "'classes' chooses logits" in found.message


def test_the_run_of_a_teacher_is_compared_before_it_begins(place):
    own = json.loads(spec(place, "own").read_text())
    own |= {"teacher": None, "distiller": "vanilla", "student": {"model": "test_resnet"}}
    own["data"]["dataset"] = "renamed"
    for split in ("train", "val"):
        for name in ("Cat", "apple", "bus"):
            (place / "renamed" / split / name).mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (SIDE, SIDE)).save(place / "renamed" / split / name / f"{number}.png")
    (place / "own.json").write_text(json.dumps(own))
    path = spec(
        place, "of-a-run", None, run="own.json", classes={"apple": "apple", "bus": "bus", "cat": "dog"}
    )
    assert problem(path).where == "teacher.classes.cat"
    assert not (place / "runs" / "own").exists()
    path = spec(place, "of-a-run", None, run="own.json", classes="by-name")
    assert kdcore.run(path, quiet=True).summary["status"] == "finished"


def test_a_mapping_names_the_classes_of_unlabelled_images(place):
    folder = place / "unlabelled" / "train"
    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (SIDE, SIDE), (40 * number,) * 3).save(folder / f"{number}.png")
    path = spec(
        place,
        "unlabelled",
        data={"dataset": "unlabelled", "eval_split": None},
        classes={"eel": 4, "bus": "bus"},
    )
    result = kdcore.run(path, quiet=True, overrides=["task.weight=0"])
    assert result.summary["data"]["num_classes"] == 2
    assert kdcore.load_student(result.directory).config.class_names == ("eel", "bus")
