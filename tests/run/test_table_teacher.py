"""A table of outputs as a teacher: the same run as the cache that it was written from, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import kdcore
from kdcore import UserError
from kdcore.inspect.open_run import open_run

pytest.importorskip("kd_teachers", reason="kd-teachers is not installed")
pytest.importorskip("kd_classic", reason="the methods are not installed")

SIDE, NAMES = 32, ("ant", "bee", "cow")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images of three classes: five of each to train on, and two to evaluate on."""
    at = tmp_path_factory.mktemp("table")
    random = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for name in NAMES:
            folder = at / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return at


def write(place, name, **changes):
    content = {
        "name": name, "output": "runs", "report": False, "student": {"model": "test_resnet"}, "distiller": "kd",
        "data": {"dataset": "images", "eval_split": "val", "image_size": SIDE, "workers": 0, "augment": AUGMENT},
        "train": {"epochs": 2, "batch_size": 5},
    }  # fmt: skip
    path = place / f"{name}.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


AUGMENT = {"crop": "none", "hflip": 0.0}
LIVE = {"model": "test_resnet", "options": {"drop_rate": 0.1}}


def table(path="table.npz", **more):
    return {"model": "outputs", "options": {"path": path}, **more}


@pytest.fixture(scope="module")
def cached(place):
    """A run with a cache, and the table of the same cache."""
    cache = {"augmentations": 1, "dtype": "float32", "folder": "cache"}
    spec = write(place, "cached", teacher=LIVE, teacher_cache=cache)
    made = kdcore.cache_teacher(spec, table=place / "table.npz", quiet=True)
    assert made.computed == 15
    return kdcore.run(spec, quiet=True)


def arrays(place):
    with np.load(place / "table.npz") as file:
        return dict(file)


def problems(spec):
    with pytest.raises(UserError) as caught:
        kdcore.run(spec, quiet=True)
    return caught.value.problems


def weights(result):
    return result.student().model.state_dict()


def test_the_table_of_a_cache_gives_the_same_run(place, cached):
    with np.load(place / "table.npz") as file:
        assert sorted(file.files) == ["classes", "logits", "names"]
        assert file["names"][[0, 15]].tolist() == ["train/ant/0.png", "val/ant/0.png"]
        assert file["logits"].shape == (21, 3)
    result = kdcore.run(write(place, "table", teacher=table()), quiet=True)
    for one, other in zip(cached.metrics, result.metrics, strict=True):
        assert one | {"images_per_second": 0} == other | {"images_per_second": 0}
    for name, value in weights(cached).items():
        assert torch.equal(value, weights(result)[name]), name
    assert result.summary["teacher"]["top1"] == cached.summary["teacher"]["top1"]
    missing = open_run(result.directory).teacher.missing
    assert "table of outputs" in missing


def test_rows_are_found_whatever_their_order_and_relative_to_the_split_too(place, cached):
    content = arrays(place)
    order = np.random.default_rng(1).permutation(15)
    names = np.array([name.removeprefix("train/") for name in content["names"][order]])
    np.savez(place / "other.npz", names=names, logits=content["logits"][order])
    result = kdcore.run(write(place, "other", teacher=table("other.npz")), quiet=True)
    assert [one["loss"] for one in result.metrics] == [one["loss"] for one in cached.metrics]
    assert result.summary["teacher"]["top1"] is None
    assert "agreement" not in result.metrics[0]["eval"]


def test_rows_without_names_are_those_of_the_training_split(place, cached):
    content = arrays(place)
    np.savez(place / "numbers.npz", logits=content["logits"][:15])
    result = kdcore.run(write(place, "numbers", teacher=table("numbers.npz")), quiet=True)
    assert [one["loss"] for one in result.metrics] == [one["loss"] for one in cached.metrics]
    np.savez(place / "few.npz", logits=content["logits"][:14])
    (problem,) = problems(write(place, "few", teacher=table("few.npz")))
    assert "14 rows without names, and the training split 15 images" in problem.message


def test_images_without_a_row_are_named_before_training(place, cached):
    content = arrays(place)
    np.savez(place / "less.npz", names=content["names"][2:], logits=content["logits"][2:])
    (problem,) = problems(write(place, "less", teacher=table("less.npz")))
    assert problem.where == "teacher.options.path"
    assert "no row for 2 of the 15 training images: train/ant/0.png, train/ant/1.png" in problem.message
    assert "its first one is train/ant/2.png" in problem.hint
    assert not (place / "runs/less").exists()


def test_rows_that_belong_to_no_image_are_counted_and_augmentation_is_told(place, cached):
    content = arrays(place)
    names = np.append(content["names"][:16], "train/ant/no.png")
    np.savez(place / "more.npz", names=names, logits=np.concatenate([content["logits"][:16], [[0, 0, 1]]]))
    spec = write(place, "more", teacher=table("more.npz"))
    found = kdcore.validate(spec).warnings
    assert any("1 rows of the table belong to no image of the data: train/ant/no.png" in one for one in found)
    assert any("no rows for 5 of the 6 evaluation images" in one for one in found)
    assert not any("augmented" in one for one in found)
    data = json.loads(spec.read_text())["data"]
    found = kdcore.validate(
        write(place, "more", teacher=table(), data=data | {"augment": {"hflip": 0.5}})
    ).warnings
    assert len([one for one in found if "the augmented images get the outputs of the whole one" in one]) == 1


def test_what_a_table_cannot_serve_is_refused(place, cached):
    data = json.loads(write(place, "refused").read_text())["data"]
    spec = write(place, "refused", teacher=table(), data=data | {"mixup": 0.2}, train={"batch_size": 6})
    (problem,) = problems(spec)
    assert (problem.where, problem.value) == ("data.mixup", 0.2)
    (problem,) = problems(write(place, "refused", teacher=table(), teacher_cache={"augmentations": 1}))
    assert problem.where == "teacher_cache"
    (problem,) = problems(write(place, "refused", teacher=table(), distiller={"name": "rkd"}))
    assert "no embedding" in problem.message
    (problem,) = problems(write(place, "refused", teacher=None, distiller="vanilla", student=table()))
    assert "cannot be trained" in problem.message


def test_class_names_are_compared_and_can_be_mapped(place, cached):
    content = arrays(place)
    order = [2, 0, 1]
    np.savez(
        place / "order.npz",
        names=content["names"],
        logits=content["logits"][:, order],
        classes=content["classes"][order],
    )
    (problem,) = problems(write(place, "order", teacher=table("order.npz")))
    assert "the same class names in another order" in problem.message
    result = kdcore.run(write(place, "order", teacher=table("order.npz", classes="by-name")), quiet=True)
    assert [one["loss"] for one in result.metrics] == [one["loss"] for one in cached.metrics]


def test_a_table_and_a_live_teacher_teach_together(place, cached):
    teachers = [{"name": "table", **table()}, {"name": "live", **LIVE}]
    distiller = {"name": "kd", "teacher": "mean"}
    result = kdcore.run(write(place, "both", teacher=teachers, distiller=distiller), quiet=True)
    live = [{"name": "table", **LIVE}, {"name": "live", **LIVE}]
    assert result.summary["status"] == "finished"
    assert result.metrics[0]["loss"] != kdcore.run(
        write(place, "both-live", teacher=live, distiller=distiller), quiet=True
    ).metrics[0]["loss"]  # fmt: skip


def test_a_table_that_cannot_be_written_is_refused_first(place):
    spec = write(place, "export", teacher=LIVE, teacher_cache={"augmentations": 2})
    for path, where in (("table.csv", "--table"), ("table.npz", "teacher_cache.augmentations")):
        with pytest.raises(UserError) as caught:
            kdcore.cache_teacher(spec, table=place / path, quiet=True)
        assert caught.value.problems[0].where == where
