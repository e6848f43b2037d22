"""Evaluation images that are a part of the training split."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kdcore import UserError, open_run, run, validate
from kdcore.data import open_split
from kdcore.data.held_out import draw, draw_groups, held_out
from kdcore.data.registered import WrappedSource
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ((100, 10, 4), 0.1, (10, 1, 1)),  # a class of few samples gives one
        ((100, 10, 4), 0.25, (25, 3, 1)),
        ((2, 1, 3), 0.9, (1, 0, 2)),  # and keeps one
        ((4, 1, 1), 0.5, (2, 0, 0)),
        ((1, 1, 1), 0.4, (0, 0, 0)),
    ],
)
def test_of_each_class_the_same_part(counts, fraction, expected):
    labels = np.repeat(np.arange(3), counts)
    np.random.default_rng(0).shuffle(labels)
    chosen = draw(labels, fraction)
    assert tuple(np.bincount(labels[chosen], minlength=3)) == expected


def test_the_draw_does_not_follow_the_order_of_the_files():
    chosen = draw(np.zeros(1000, dtype=np.int64), 0.1)
    assert chosen.sum() == 100
    assert 20 < chosen[:500].sum() < 80


def opened(folder, split, **data):
    spec = DataSpec(dataset=str(folder), **data)
    return open_split(spec, split, plugins=get_plugins(), where="data.train_split")


def test_both_parts_are_the_whole_split(image_folder):
    whole = opened(image_folder, "train")
    parts = [opened(image_folder, split, eval_fraction=0.3) for split in ("train", "held-out")]
    names = [[part.name(index) for index in range(len(part))] for part in parts]
    assert sorted([*names[0], *names[1]]) == sorted(whole.name(index) for index in range(len(whole)))
    assert [len(part) for part in parts] == [9, 3]
    assert [part.split for part in parts] == ["train", "held-out"]
    assert [part.classes for part in parts] == [whole.classes] * 2
    assert parts[1].files().sizes.tolist() == [len(parts[1].content(index)) for index in range(3)]


def test_a_run_is_evaluated_on_what_it_did_not_train_on(image_folder, tmp_path):
    spec = {
        "name": "held",
        "output": str(tmp_path / "runs"),
        "data": {"dataset": str(image_folder), "eval_fraction": 0.3, "image_size": 16, "workers": 0},
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 3},
        "report": False,
    }
    first = run(spec, quiet=True)
    about = first.summary["data"]
    assert (about["train_size"], about["eval_size"], about["eval_split"]) == (9, 3, "held-out")
    opened = open_run(first.directory)
    assert len(opened.images.whole) == 3
    resolved = json.loads((first.directory / "spec.json").read_text())
    assert (resolved["data"]["eval_fraction"], resolved["data"]["eval_split"]) == (0.3, "held-out")
    again = run({**resolved, "name": "again", "seed": 7}, quiet=True)
    theirs = open_run(again.directory).images.whole
    assert [theirs.name(one) for one in range(3)] == [opened.images.whole.name(one) for one in range(3)]


@pytest.mark.parametrize(
    ("data", "where", "message"),
    [
        ({"eval_fraction": 0.3, "eval_split": "val"}, "data.eval_split", "a part of the training split"),
        ({"eval_fraction": 0.3, "eval_split": None}, "data.eval_split", "a part of the training split"),
        ({"eval_fraction": 1.0}, "data.eval_fraction", "below 1"),
        ({"eval_fraction": True}, "data.eval_fraction", ""),
    ],
)
def test_wrong_fractions(image_folder, data, where, message):
    spec = {
        "data": {"dataset": str(image_folder), **data},
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
    }
    with pytest.raises(UserError) as caught:
        validate(spec)
    assert caught.value.problems[0].where == where
    assert message in str(caught.value.problems[0])


def test_a_split_that_is_too_small(tmp_path, make_picture):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        make_picture(0).save(tmp_path / "train" / name / "0.png")
    with pytest.raises(UserError, match="of 2 training images none would be held out"):
        opened(tmp_path, "held-out", eval_fraction=0.3)


def test_groups_are_not_divided():
    random = np.random.default_rng(0)
    groups = random.integers(0, 60, 1000)
    labels = (groups + random.integers(0, 2, 1000)) % 3
    chosen = draw_groups(labels, groups, 0.2)
    assert not set(groups[chosen]) & set(groups[~chosen])
    assert np.bincount(labels[chosen]) / np.bincount(labels) == pytest.approx([0.2] * 3, abs=0.05)
    assert np.array_equal(chosen, draw_groups(labels, groups, 0.2))


def patients(folder, *rows):
    (folder / "table.csv").write_text("path,label,patient\n" + "\n".join(rows) + "\n")
    for row in rows:
        (folder / row.partition(",")[0]).write_bytes(b"")
    return folder / "table.csv"


def test_the_groups_of_a_table(tmp_path):
    rows = [f"{number}.png,{'ab'[number % 2]},{number // 4 or ''}" for number in range(20)]
    table = patients(tmp_path, *rows)
    given = {"eval_fraction": 0.25, "options": {"group": "patient"}}
    data = DataSpec(dataset=str(table), train_split="", **given)
    train, evaluation = (
        open_split(data, split, plugins=get_plugins(), where="data.train_split") for split in ("", "held-out")
    )
    numbers = [[int(part.key(index)[:-4]) for index in range(len(part))] for part in (train, evaluation)]
    assert sorted(numbers[0] + numbers[1]) == list(range(20))
    # 0 to 3 have no patient: each is a group of its own
    named = [{number // 4 for number in part if number >= 4} for part in numbers]
    assert not named[0] & named[1]
    assert 3 <= len(evaluation) <= 7


def test_one_group_cannot_be_divided(tmp_path):
    table = patients(tmp_path, "1.png,a,x", "2.png,b,x")
    data = DataSpec(dataset=str(table), train_split="", eval_fraction=0.4, options={"group": "patient"})
    with pytest.raises(UserError, match="of 2 training images in 1 group none would be held out"):
        open_split(data, "", plugins=get_plugins(), where="data.train_split")


def test_a_column_of_groups_that_is_not_there(tmp_path):
    table = patients(tmp_path, "1.png,a,x", "2.png,b,y")
    data = DataSpec(dataset=str(table), train_split="", eval_fraction=0.4, options={"group": "patent"})
    with pytest.raises(UserError, match="did you mean 'patient'"):
        open_split(data, "", plugins=get_plugins(), where="data.train_split")


@pytest.mark.parametrize("again", ["y", ""])
def test_an_image_in_two_groups(tmp_path, again):
    table = patients(tmp_path, "1.png,a,x", "1.png,a,x", "2.png,b,y", f"1.png,a,{again}")
    data = DataSpec(dataset=str(table), train_split="", eval_fraction=0.4, options={"group": "patient"})
    with pytest.raises(UserError, match=r"1\.png twice, with different values of 'patient'"):
        open_split(data, "", plugins=get_plugins(), where="data.train_split")


def test_groups_without_a_fraction_are_a_mistake(tmp_path):
    table = patients(tmp_path, "1.png,a,x", "2.png,b,y")
    data = {"dataset": str(table), "train_split": "", "eval_split": None, "options": {"group": "patient"}}
    with pytest.raises(UserError, match="groups are for data"):
        validate({"data": data, "student": {"model": "test_resnet"}, "distiller": "vanilla"})


def test_only_images_with_a_label_are_held_out(make_pairs):
    labels = [0, 1] * 10 + [-1] * 30
    train, evaluation = held_out(WrappedSource(make_pairs(50, labels=labels), "mine", 2), 0.2)
    assert sorted(evaluation.labels.tolist()) == [0, 0, 1, 1]
    assert train.labels.tolist().count(-1) == 30
    # those of the labelled alone
    _, alone = held_out(WrappedSource(make_pairs(20, labels=labels[:20]), "mine", 2), 0.2)
    assert alone._positions.tolist() == evaluation._positions.tolist()
