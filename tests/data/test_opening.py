from __future__ import annotations

import tarfile

import pytest

from kdcore import Options
from kdcore.data.opening import check_same_classes, open_split
from kdcore.data.source import Source
from kdcore.errors import Problem, UserError


def opened(data, plugins, split="train"):
    return open_split(data, split, plugins=plugins, where="data.train_split")


def test_registered(make_plugins, make_data, make_pairs):
    asked = []

    def target(root, split):
        asked.append((root, split))
        return make_pairs(6)

    plugins = make_plugins({"mine": target}, num_classes=3)
    assert opened(make_data(dataset="mine", root="r"), plugins).num_classes == 3
    assert len(opened(make_data(dataset="fake/mine"), plugins, "test")) == 6
    assert asked == [("r", "train"), (None, "test")]


def test_what_a_plugins_dataset_gives_is_an_error_of_the_plugin(make_plugins, make_data, make_pairs):
    def target(root, split):
        pairs = make_pairs(6)
        pairs.__class__ = type(
            "Texts", (type(pairs),), {"__getitem__": lambda self, index: ("an image", "red")}
        )
        return pairs

    message = (
        r"^data\.train_split: the image of mine\[0\] is str; a dataset must give pairs .* \(dataset fake"
    )
    with pytest.raises(UserError, match=message):
        opened(make_data(dataset="mine"), make_plugins({"mine": target}, num_classes=3))
    few = make_plugins({"mine": lambda root, split: make_pairs(6, classes=["a", "b"])}, num_classes=3)
    message = (
        r"^data\.train_split: dataset fake/mine 1\.2 cannot be opened: its attribute 'classes' has 2 names"
    )
    with pytest.raises(UserError, match=message):
        opened(make_data(dataset="mine"), few)


class Drawn(Options):
    sizes: tuple[int, ...] = (3, 4)
    count: int = 6


def test_its_options_are_checked_and_given(make_plugins, make_data, make_pairs):
    plugins = make_plugins(
        {"mine": lambda root, split, *, sizes, count: make_pairs(count, sizes=sizes)}, options=Drawn
    )
    source = opened(make_data(dataset="mine", options={"sizes": [5]}), plugins)
    assert len(source) == 6
    assert source._dataset.sizes == (5,)
    with pytest.raises(UserError, match=r"data\.options\.count: a whole number is wanted"):
        opened(make_data(dataset="mine", options={"count": "x"}), plugins)


def test_digits_by_the_real_plugins(make_data):
    from kdcore.plugins import get_plugins

    source = opened(make_data(), get_plugins())
    assert (len(source), source.num_classes, source.in_memory) == (1297, 10, True)
    with pytest.raises(
        UserError, match=r"data\.train_split: digits does not have this split.*\n.*allowed: train, test"
    ):
        opened(make_data(), get_plugins(), "val")


def test_folder_and_tar(image_folder, make_data, make_plugins, tmp_path, monkeypatch):
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(image_folder, arcname="images")
    for dataset, root in ((image_folder, None), (path, None), ("images", tmp_path), ("images.tar", tmp_path)):
        data = make_data(dataset=str(dataset), root=None if root is None else str(root))
        source = opened(data, make_plugins())
        assert source.classes == ("ant", "bee", "cat")
        assert len(source) == 12
    monkeypatch.chdir(tmp_path)
    assert len(opened(make_data(dataset="images"), make_plugins())) == 12


def test_a_registered_name_goes_before_a_folder(
    image_folder, make_data, make_plugins, make_pairs, monkeypatch
):
    monkeypatch.chdir(image_folder.parent)
    plugins = make_plugins({"images": lambda root, split: make_pairs(2)})
    assert len(opened(make_data(dataset="images"), plugins)) == 2


@pytest.mark.parametrize(
    "dataset", ["/no/such/folder", "./folder", "images.tar", "a/b.tar.gz", "~/nothing-there"]
)
def test_missing_paths(dataset, make_data, make_plugins):
    with pytest.raises(UserError, match=r"data\.dataset: there is no folder, archive or table"):
        opened(make_data(dataset=dataset), make_plugins())


def test_missing_path_tells_its_neighbours(image_folder, make_data, make_plugins):
    with pytest.raises(UserError, match=r"did you mean '.*/images'"):
        opened(make_data(dataset=str(image_folder.parent / "image")), make_plugins())


def test_unknown_name(make_data, make_plugins):
    with pytest.raises(UserError, match=r"(?s)data\.dataset: no such dataset.*'digits'"):
        opened(make_data(dataset="digit"), make_plugins({"digits": None}))


def test_what_a_plugin_raises(make_data, make_plugins):
    def value_error(root, split):
        raise ValueError("no split of this name")

    def user_error(root, split):
        raise UserError([Problem("", "one"), Problem("data.root", "two")])

    with pytest.raises(
        UserError, match=r"data\.train_split: dataset fake/mine 1\.2 cannot be opened: no split of"
    ):
        opened(make_data(dataset="mine"), make_plugins({"mine": value_error}))
    with pytest.raises(UserError, match=r"data\.train_split: one\ndata\.root: two"):
        opened(make_data(dataset="mine"), make_plugins({"mine": user_error}))
    with pytest.raises(UserError, match="which does not have len"):
        opened(make_data(dataset="mine"), make_plugins({"mine": lambda root, split: None}))


def test_num_classes(image_folder, make_data, make_plugins, make_pairs):
    data = make_data(dataset=str(image_folder), num_classes=4)
    with pytest.raises(UserError, match=r"data\.num_classes: .* has 3 classes \(got 4\)"):
        opened(data, make_plugins())
    plugins = make_plugins({"counted": lambda root, split: make_pairs(6, targets=[0, 1, 2, 0, 1, 2])})
    assert opened(make_data(dataset="counted"), plugins).num_classes == 3
    assert opened(make_data(dataset="counted", num_classes=5), plugins).num_classes == 5
    with pytest.raises(UserError, match="has 3 classes"):
        opened(make_data(dataset="counted", num_classes=2), plugins)
    unknown = make_plugins({"pairs": lambda root, split: make_pairs(6)})
    assert opened(make_data(dataset="pairs", num_classes=5), unknown).num_classes == 5


def with_classes(*names, num_classes=None):
    source = Source()
    source.classes = names or None
    source.num_classes = len(names) or num_classes
    return source


def test_same_classes():
    check_same_classes(with_classes("a", "b"), with_classes("a", "b"), where="data.eval_split")
    check_same_classes(with_classes("a", "b"), with_classes(), where="data.eval_split")
    check_same_classes(with_classes(num_classes=3), with_classes(num_classes=2), where="data.eval_split")
    with pytest.raises(
        UserError, match=r"data\.eval_split: .*it lacks b; it has c, d, which the training split lacks"
    ):
        check_same_classes(with_classes("a", "b"), with_classes("a", "c", "d"), where="data.eval_split")
    with pytest.raises(UserError, match="in another order"):
        check_same_classes(with_classes("a", "b"), with_classes("b", "a"), where="data.eval_split")
