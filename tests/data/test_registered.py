from __future__ import annotations

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
    [({"targets": [0, 1]}, "its targets are not one"), ({"labels": [0.5] * 6}, "its labels are not one")],
)
def test_wrong_labels(make_pairs, attributes, message):
    with pytest.raises(ValueError, match=message):
        WrappedSource(make_pairs(6, **attributes), "mine", None)


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
            return [None, (torch.zeros(3), 0), 5, (Image.new("L", (2, 2)), None)][index]

    source = WrappedSource(Broken([1, 2, 3, 4]), "mine", None)
    with pytest.raises(RunFailed, match=r"image 0 cannot be read: mine\[0\]: gone"):
        source[0]
    with pytest.raises(RunFailed, match=r"mine\[1\] is Tensor; a dataset must give pairs of PIL image"):
        source[1]
    with pytest.raises(RunFailed, match=r"image 2 cannot be read: mine\[2\]"):
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
