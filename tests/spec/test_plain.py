import datetime

import pytest

from kdcore.spec.formats import parse
from kdcore.spec.json_values import plain


def test_copies_share_nothing():
    shared = {"lr": 1}
    copied, faults = plain({"a": shared, "b": shared, "c": [None, True, 1, 0.5, "x"]})
    assert faults == []
    assert copied == {"a": {"lr": 1}, "b": {"lr": 1}, "c": [None, True, 1, 0.5, "x"]}
    assert copied["a"] is not copied["b"]
    assert copied["a"] is not shared


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "finite"),
        (float("-inf"), "finite"),
        (2**63, "too large"),
        (-(2**70), "too large"),
        ("\ud800", "unpaired UTF-16 surrogate"),
        (datetime.date(2024, 1, 2), "quote it"),
        (b"x", "not a value that a spec can have"),
        ({1, 2}, "not a value that a spec can have"),
    ],
)
def test_what_is_left_out(value, words):
    copied, faults = plain({"student": {"options": {"x": value, "y": 1}}})
    assert copied == {"student": {"options": {"y": 1}}}
    (fault,) = faults
    assert fault.path == ("student", "options", "x")
    assert fault.problem.where == "student.options.x"
    assert words in str(fault.problem)
    str(fault.problem).encode()


def test_keys_are_text():
    copied, faults = plain({"train": {True: 1, "epochs": 2}})
    assert copied == {"train": {"epochs": 2}}
    assert [(fault.problem.where, fault.problem.value, fault.usable) for fault in faults] == [
        ("train", True, True)
    ]


def test_duplicates_are_told_with_their_place():
    value = parse('{"data": {"augment": {"crop": 1, "crop": 2}}, "seed": 1, "seed": 2}', ".json", "x")
    copied, faults = plain(value)
    assert copied == {"data": {"augment": {"crop": 2}}, "seed": 2}
    assert sorted(fault.problem.where for fault in faults) == ["data.augment.crop", "seed"]


def test_aliases_of_aliases_come_to_an_end():
    laughs = ["x"] * 10
    for _ in range(12):
        laughs = [laughs] * 10
    _, faults = plain({"seed": 1, "options": laughs})
    assert [(fault.problem.where, fault.problem.message) for fault in faults] == [
        ("options", "there are too many values")
    ]


def test_loops_come_to_an_end():
    loop = parse("a: &a [*a]", ".yaml", "x")
    _, faults = plain(loop)
    assert [fault.problem.message for fault in faults] == ["its values are nested too deeply"]
    assert faults[0].path[0] == "a"
