from __future__ import annotations

import json

import pytest

from kdcore import UserError
from kdcore.models.class_names import check_class_names, difference, names_in, pretrained_names, same_names


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("a", "b"), ("a", "b"), True),
        (("a", "b"), ("b", "a"), False),
        (("Golden Retriever", "cat"), ("golden_retriever", "CAT"), True),
        (("café", "tea"), ("cafe\u0301", "tea"), True),
        (("a", "A"), ("A", "a"), False),
        (("a", "b"), ("a", "b", "c"), False),
        (("a1", "b"), ("a2", "b"), False),
    ],
)
def test_which_names_are_the_same(first, second, same):
    assert same_names(first, second) is same
    assert (difference(first, second) is None) is same


def test_what_is_not_known_is_not_compared():
    check_class_names(None, ("a",), "teacher.run")
    check_class_names(("a",), None, "teacher.run")


def test_both_lists_are_shown():
    with pytest.raises(UserError) as caught:
        check_class_names(("apple", "bus", "cat"), ("bus", "cat", "zapple"), "teacher.run", value="t.json")
    (problem,) = caught.value.problems
    assert problem.message == (
        "the class names of the teacher and of the data differ; "
        "teacher: 0 apple, 1 bus, 2 cat; data: 0 bus, 1 cat, 2 zapple"
    )
    assert "train the teacher on this data" in problem.hint
    assert "in another order" in difference(("a", "b"), ("b", "a"))


def test_long_lists_are_cut_to_where_they_differ():
    known = [f"class {index}" for index in range(1000)]
    one = [*known[:700], "other", *known[701:]]
    assert difference(known, one).endswith(
        "(at 1 of 1000 positions); teacher: 700 class 700; data: 700 other"
    )
    shifted = [*known[:3], *known[4:], "last"]
    told = difference(known, shifted)
    assert "at 997 of 1000 positions, the first 8 are shown" in told
    assert "teacher: 3 class 3, 4 class 4" in told
    assert "11 class" not in told


@pytest.mark.parametrize(
    "content",
    [
        {"label_names": ["x", "y"]},
        {"class_to_idx": {"y": 1, "x": 0}},
        {"id2label": {"0": "x", "1": "y"}},
        {"classes": ("x", "y"), "labels": [3]},
        {"names": {0: "x", 1: "y"}},
    ],
)
def test_names_beside_weights(content):
    assert names_in(content, 2) == ("x", "y")


@pytest.mark.parametrize("content", [{}, {"classes": 2}, {"classes": [1, 2]}, {"names": ["x"]}])
def test_what_is_no_list_of_names(content):
    assert names_in(content, 2) is None


def test_names_of_pretrained_weights():
    assert pretrained_names({"label_names": ("x",), "num_classes": 1}, None) == ("x",)
    synsets = [f"n{index:08}" for index in range(3)]
    found = pretrained_names({"num_classes": 1000}, synsets)
    assert (found[0], len(found)) == ("n01440764", 1000)
    assert pretrained_names({"num_classes": 1000}, ["tench", "goldfish"]) is None
    assert pretrained_names({"num_classes": 37}, synsets) is None


def test_names_beside_a_file_of_weights(build, tmp_path, no_plugins):
    from kdcore.models import save_student

    built = build("test_resnet", num_classes=2)
    save_student(
        built.model, tmp_path / "s", model_name="test_resnet", num_classes=2, input=built.input, options={},
        small_input=False, class_names=("x", "y"), plugins=no_plugins,
    )  # fmt: skip
    for checkpoint in (tmp_path / "s", tmp_path / "s" / "model.safetensors"):
        found = build("test_resnet", teacher=True, num_classes=2, image_size=None, checkpoint=str(checkpoint))
        assert found.class_names == ("x", "y")
        assert found.input.image_size == (32, 32)
    config = json.loads((tmp_path / "s" / "config.json").read_text())
    assert config["label_names"] == ["x", "y"]
