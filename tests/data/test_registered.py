from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore.data.registered import WrappedSource
from kdcore.errors import RunFailed


def test_all_that_a_dataset_may_tell(make_pairs):
    dataset = make_pairs(6, targets=[0, 1, 2, 0, 1, 2], classes=["a", "b", "c"], in_memory=True)
    source = WrappedSource(dataset, "mine", None)
    assert source.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert source.classes == ("a", "b", "c")
    assert source.num_classes == 3
    assert source.in_memory
    assert source.labelled
    assert source[-1][1] == 2
    assert source.name(4) == "mine[4]"


def test_a_dataset_of_pairs_is_enough(make_pairs):
    source = WrappedSource(make_pairs(6), "mine", None)
    assert source.labels is source.classes is source.num_classes is None
    assert source.labelled
    assert not source.in_memory
    assert WrappedSource(make_pairs(6), "mine", 7).num_classes == 7
    assert not WrappedSource(make_pairs(6, labelled=False), "mine", None).labelled
    assert (
        WrappedSource(make_pairs(6, labels=torch.tensor([0, 4, 0, 0, 0, 0])), "mine", None).num_classes == 5
    )
    assert not WrappedSource(make_pairs(2, targets=[-1, -1]), "mine", None).labelled


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"targets": [0, 1]}, "its targets are not one"),
        ({"labels": [0.5] * 6}, "its labels are not one"),
        (
            {"targets": [0, 1, 2, -2, 1, 0]},
            "its targets have -2; a label is a class index from 0, or -1 for none",
        ),
        ({"classes": ["a", "b"]}, "'classes' has 2 names, and it is declared with 3 classes"),
    ],
)
def test_wrong_labels(make_pairs, attributes, message):
    with pytest.raises(ValueError, match=message):
        WrappedSource(make_pairs(6, **attributes), "mine", 3)


def labelled(*labels):
    class Pairs(list):
        targets = None

        def __getitem__(self, index):
            return Image.new("L", (2, 2)), labels[index]

    return Pairs(labels)


def test_labels_of_every_kind_of_integer():
    source = WrappedSource(labelled(2, np.int64(1), torch.tensor(3), True, 2.0, None, -1), "mine", None)
    assert [source[index][1] for index in range(len(source))] == [2, 1, 3, 1, 2, -1, -1]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("red", '"red"'),
        ("1", '"1"'),
        (1.5, "1.5"),
        (float("nan"), "NaN"),
        (-2, "-2"),  # kd's own mark of a broken image
        (torch.tensor([0, 1]), r"tensor\(\[0, 1\]\)"),
    ],
)
def test_a_label_that_is_no_class_index(label, shown):
    source = WrappedSource(labelled(0, label), "mine", None, "kd-fox/mine 1.0")
    wanted = "a label must be a class index from 0, or -1 or None for an image without one"
    with pytest.raises(
        RunFailed, match=rf"mine\[1\] has the label {shown}; {wanted} \(dataset kd-fox/mine 1.0\)$"
    ):
        source[1]


def test_a_dataset_whose_length_changes():
    class Shrinks(list):
        targets = (0, 0, 0)

        def __getitem__(self, index):
            found = super().__getitem__(index)
            if index == 0:
                self.pop()
            return Image.new("L", (2, 2)), found

    source = WrappedSource(Shrinks([0, 0, 0]), "mine", None, "kd-fox/mine 1.0")
    assert (source[0][1], len(source)) == (0, 3)
    told = r"mine\[2\]: IndexError: .*, in the code of kd-fox/mine 1.0; len\(\) was 3 when it was opened, and is 2 now"
    with pytest.raises(RunFailed, match=told):
        source[2]


def test_names_of_classes_may_be_an_array(make_pairs):
    assert WrappedSource(make_pairs(6, classes=np.array(["a", "b", "c"])), "mine", None).classes == (
        "a",
        "b",
        "c",
    )


def test_targets_of_another_kind_are_left_alone(make_pairs):
    assert WrappedSource(make_pairs(2, targets=[{"box": 1}, {"box": 2}]), "mine", None).labels is None


@pytest.mark.parametrize(
    ("dataset", "message"), [(iter([]), "does not have len"), ([], "is empty"), (None, "NoneType")]
)
def test_not_a_dataset(dataset, message):
    with pytest.raises(ValueError, match=message):
        WrappedSource(dataset, "mine", None)


def test_errors_while_reading():
    class Broken(list):
        targets = (0, 0, 0, 0)

        def __getitem__(self, index):
            if index == 0:
                raise OSError("gone")
            return [
                None,
                (torch.zeros(3), 0),
                (Image.new("L", (2, 2)), 0, {}),
                (Image.new("L", (2, 2)), None),
            ][index]

    source = WrappedSource(Broken([1, 2, 3, 4]), "mine", None)
    with pytest.raises(RunFailed, match=r"image 0 cannot be read: mine\[0\]: gone"):
        source[0]
    pairs = "a dataset must give pairs of PIL image and class index"
    with pytest.raises(RunFailed, match=rf"the image of mine\[1\] is Tensor; {pairs}$"):
        source[1]
    with pytest.raises(RunFailed, match=rf"mine\[2\] is a tuple of 3; {pairs}$"):
        source[2]
    assert source[3][1] == -1
    with pytest.raises(IndexError):
        source[4]


def test_a_mistake_in_a_plugins_code_names_the_plugin():
    class Mistaken(list):
        targets = (0, 0)

        def __getitem__(self, index):
            return {}["seven"] if index else Image.open("/nowhere")

    source = WrappedSource(Mistaken([1, 2]), "mine", None, "kd-fox/mine 1.0")
    told = r"image 1 cannot be read: mine\[1\]: KeyError: 'seven' \(test_registered.py, line \d+\), in the code of "
    with pytest.raises(RunFailed, match=told + "kd-fox/mine 1.0$"):
        source[1]
    with pytest.raises(RunFailed, match=r"mine\[0\]: .*No such file[^,]*$"):  # that is the file's fault
        source[0]
