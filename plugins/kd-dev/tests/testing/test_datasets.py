"""Each check of a dataset fails for the one that breaks its rule, and all others pass; good ones pass all."""

from __future__ import annotations

import re

import pytest
from kd_dev.testing import ConformanceError, check_dataset, dataset_checks
from kd_dev.testing.check import Violation
from kd_dev.testing.datasets import RULES, _require_same_length

from kdcore import UserError

BREAKS = {
    "declaration": (
        "toy-NoSplitArgument",
        "cannot be called with root, split by position .*too many positional",
    ),
    "splits": ("toy-SameSplits", "splits 'train' and 'test' are the same 5 samples"),
    "images_are_pil": ("toy-Arrays", r"train\[0\] has an image of type ndarray, not PIL's"),
    "length_and_labels": ("toy-OtherTargets", r"train\[0\] has the label 0, but its targets say 1"),
    "classes_match_declaration": (
        "toy-TooManyClasses",
        "train has the label 2, but the last of 2 classes is 1",
    ),
    "deterministic": ("toy-Shuffled", r"train\[\d+\] is a different sample when it is opened again"),
    "pickles": ("toy-HoldsLambda", "train cannot be pickled: "),
    "bad_split_is_clear": ("toy-KeyErrors", "for split 'no-such-split' it raised KeyError"),
}


@pytest.fixture(autouse=True)
def installed(broken):
    """The plugin."""


def test_every_rule_has_somebody_who_breaks_it():
    assert list(BREAKS) == [rule.id for rule in RULES]


@pytest.mark.parametrize("id", BREAKS)
def test_a_broken_rule_is_found_and_no_other(id, look):
    name, message = BREAKS[id]
    found = look(dataset_checks(name))
    assert set(found.failed) == {id}, found.failed
    assert f"{name} breaks the rule {id}: " in found.failed[id]
    assert f"docs/conformance.md#{id}-dataset" in found.failed[id]
    assert re.search(message, found.failed[id]), found.failed[id]
    assert len(found.skipped) == (7 if id == "declaration" else 0)


class Shrinks(list):
    def __getitem__(self, index):
        found = super().__getitem__(index)
        if index == 1:
            self.pop()
        return found


def test_a_length_that_changes_is_found():
    with pytest.raises(Violation, match="train has 3 samples, and 2 after sample 1 was read"):
        _require_same_length(Shrinks([5, 6, 7]), "train")
    _require_same_length([5, 6, 7], "train")


@pytest.mark.parametrize("name", ["toy-Good", "kd-broken/toy-Unlabelled"])
def test_good_ones_pass(name, look):
    found = look(dataset_checks(name))
    assert (found.failed, found.skipped) == ({}, {})


def test_the_digits_pass():
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    check_dataset("digits")


def test_a_split_that_is_not_there_is_told(look):
    found = look(dataset_checks("toy-Good", splits=("train", "valid")))
    assert set(found.failed) == {"splits"}
    assert "raised ValueError: there is no split 'valid'" in found.failed["splits"]
    with pytest.raises(ConformanceError, match="valid"):
        check_dataset("toy-Good", splits=["valid"])


def test_a_dataset_that_is_not_there_is_told():
    with pytest.raises(UserError, match="toy-Gud"):
        dataset_checks("toy-Gud")
