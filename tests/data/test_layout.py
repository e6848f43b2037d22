from __future__ import annotations

import pytest

from kdcore.data.layout import check_not_splits, choose_split, class_layout, find_split, is_hidden, is_image
from kdcore.errors import UserError


@pytest.mark.parametrize(
    ("split", "folders", "found"),
    [
        ("train", {"train", "val"}, ("train",)),
        ("train", {"Train", "val"}, ("Train",)),
        ("train", {"training"}, ("training",)),
        ("test", {"train", "val"}, ("val",)),
        ("test", {"test", "val"}, ("test",)),
        ("validation", {"val", "test"}, ("val",)),
        ("eval", {"train", "test"}, ("test",)),
        ("test", {"validation", "valid"}, ("valid", "validation")),
        ("test", {"train"}, ()),
        ("train", {"val"}, ()),
        ("fold1", {"fold2"}, ()),
    ],
)
def test_find_split(split, folders, found):
    assert find_split(split, folders) == found


def test_missing_split_lists_what_is_there():
    with pytest.raises(UserError) as caught:
        choose_split("trian", {"train", "val"}, False, place="ROOT", where="data.train_split")
    (problem,) = caught.value.problems
    assert (problem.where, problem.value, problem.nearest) == ("data.train_split", "trian", "train")
    assert problem.allowed == "train, val"


def test_ambiguous_split_is_an_error():
    with pytest.raises(UserError, match="several that may be meant"):
        choose_split("test", {"valid", "val"}, False, place="ROOT", where="data.eval_split")


@pytest.mark.parametrize(("images", "there"), [(True, "images, no folders"), (False, "nothing")])
def test_no_folders_at_all(images, there):
    with pytest.raises(UserError, match=f"allowed: {there}"):
        choose_split("train", (), images, place="ROOT", where="data.train_split")


@pytest.mark.parametrize(
    ("where", "folders", "images", "told"),
    [
        (
            "data.eval_split",
            (),
            True,
            "null turns evaluation off: these images have no labels, and accuracy needs labels.",
        ),
        (
            "data.eval_split",
            ("ant", "bee"),
            False,
            "null trains without evaluation images. If the class",
        ),
        (
            "data.train_split",
            (),
            True,
            'If the class folders (or the images) are directly in ROOT, set this to "".',
        ),
    ],
)
def test_what_to_say_instead_of_a_split(where, folders, images, told):
    with pytest.raises(UserError) as caught:
        choose_split("test", folders, images, place="ROOT", where=where)
    hint = caught.value.problems[0].hint
    assert told in hint
    assert ("null" in hint) is (where == "data.eval_split")
    assert ('""' in hint) is (not images or where == "data.train_split")


def test_splits_are_not_classes():
    check_not_splits({"train", "lorry"}, place="ROOT", where="w")
    check_not_splits((), place="ROOT", where="w")
    with pytest.raises(UserError, match="contains splits: choose one"):
        check_not_splits({"Train", "val"}, place="ROOT", where="w")


def test_names():
    assert is_image("a/b/C.JPG")
    assert not is_image("a/b/c.txt")
    assert not is_image("a/._c.jpg")
    assert is_hidden("__MACOSX")
    assert not is_hidden("a.b")


def test_order_is_that_of_image_folder():
    paths = ["b/x/z/3.png", "b/x/1.png", "b/x-y/0.png", "b/2.png", "a/9.png", "stray.png"]
    files, labels, classes = class_layout(paths)
    assert files == ["a/9.png", "b/2.png", "b/x/1.png", "b/x-y/0.png", "b/x/z/3.png"]  # "-" < "/"
    assert labels == [0, 1, 1, 1, 1]
    assert classes == ("a", "b")


def test_unlabelled():
    assert class_layout(["2.png", "1.png"]) == (["1.png", "2.png"], [-1, -1], None)
