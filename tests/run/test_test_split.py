"""`data.test_split`: the student that is kept is tested once, on images that chose nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from kdcore import RunDirectory, UserError, run, validate
from kdcore.cli.run import describe
from kdcore.inspect import open_run_student
from kdcore.run import measures


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes in the folders train, val and Holdout; two images are in all three of them."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    random = np.random.default_rng(0)
    for split, each in (("train", 8), ("val", 4), ("Holdout", 6)):
        for label in range(2):
            (folder / split / f"class{label}").mkdir(parents=True)
            for number in range(each):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8) // 2 + 100 * label
                Image.fromarray(pixels.astype(np.uint8)).save(
                    folder / split / f"class{label}" / f"{split}{number}.png"
                )
    for label in range(2):
        shared = (folder / "train" / f"class{label}" / "train3.png").read_bytes()
        for split in ("val", "Holdout"):
            (folder / split / f"class{label}" / f"again{label}.png").write_bytes(shared)
    return folder


@pytest.fixture(scope="module")
def spec(photos, tmp_path_factory):
    """A spec with three splits."""
    return {
        "name": "tested",
        "output": str(tmp_path_factory.mktemp("runs")),
        "data": {
            "dataset": str(photos),
            "eval_split": "val",
            "test_split": "Holdout",
            "image_size": 16,
            "workers": 0,
        },
        "teacher": {"model": "test_resnet"},
        "student": {"model": "test_resnet"},
        "distiller": "kd",
        "task": {"weight": 1},
        "train": {"epochs": 2, "batch_size": 8, "keep": "best", "ema": 0.5},
    }


@pytest.fixture(scope="module")
def tested(spec):
    """The run, and the numbers of images of its evaluations in their order."""
    sizes, real = [], measures.evaluate

    def evaluate(model, data, *arguments, **options):
        sizes.append(data.total)
        return real(model, data, *arguments, **options)

    measures.evaluate = evaluate
    try:
        return run(spec, quiet=True), sizes
    finally:
        measures.evaluate = real


def test_the_test_images_are_seen_once_at_the_end(tested):
    result, sizes = tested
    # teacher; student and its average after each epoch, and the student that is kept if it is of an earlier epoch;
    # at the end teacher, student and average on the test images
    again = int(result.summary["student"]["epoch"] != 2)
    assert sizes == [10] * (5 + again) + [14] * 3
    assert all("test" not in record for record in result.metrics)


def test_the_summary_has_the_test_of_the_kept_student(tested):
    result, _ = tested
    found = result.summary["test"]
    assert (found["split"], found["size"]) == ("Holdout", 14)
    assert result.summary["data"]["test_split"] == "Holdout"
    assert RunDirectory(result.directory).summary()["test"] == json.loads(json.dumps(found))
    student = open_run_student(result.directory)
    images = student.images("Holdout", None)
    right = sum((student.model(pixels).argmax(1) == target).sum().item() for pixels, target in images)
    assert found["student"]["top1"] == pytest.approx(100 * right / 14)
    assert set(found["teachers"]) == {"teacher"}
    assert found["ema"].keys() == found["student"].keys() - {"map", "intervals"}
    assert f"test     'Holdout', 14 images: student  top-1 {found['student']['top1']:.2f} %" in "\n".join(
        describe(result.summary)
    )


def test_shared_images_are_a_warning_for_each_two_splits(spec):
    report = validate(spec)
    assert report.test_split == "Holdout"
    assert "tested on 'Holdout'" in "\n".join(report.lines())
    notes = [line for line in report.warnings if "by their content" in line]
    assert notes == [
        "data: 2 of 10 evaluation images ('val') are training images ('train') too, by their content: scores on them "
        "are too high. The first: val/class0/again0.png is train/class0/train3.png",
        "data: 2 of 14 test images ('Holdout') are training images ('train') too, by their content: scores on them are "
        "too high. The first: Holdout/class0/again0.png is train/class0/train3.png",
        "data: 2 of 14 test images ('Holdout') are evaluation images ('val') too, by their content: the test is not "
        "independent of the evaluation. The first: Holdout/class0/again0.png is val/class0/again0.png",
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"test_split": "val"}, "evaluated on after each epoch: data.eval_split names the same split"),
        ({"test_split": "train"}, "trained on: data.train_split names the same split"),
        ({"test_split": "valid"}, "data.eval_split is the same split on disk, 'val'"),
        ({"test_split": "gone"}, "does not have a folder for this split"),
    ],
)
def test_a_split_that_was_seen_before_is_refused(spec, data, words):
    with pytest.raises(UserError, match=words) as caught:
        validate(spec | {"data": spec["data"] | data})
    assert [problem.where for problem in caught.value.problems] == ["data.test_split"]
