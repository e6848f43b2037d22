from __future__ import annotations

import pytest
from kd_compare.halving import Budget, automatic_rungs, parse_budget, survivors

from kdcore import UserError


@pytest.mark.parametrize(
    ("epochs", "eta", "methods", "rungs"),
    [
        (240, 3, 14, (9, 27, 80)),
        (9, 3, 14, (1, 3)),
        (8, 2, 3, (2, 4)),
        (3, 3, 2, (1,)),
        (1, 3, 5, ()),
        (100, 3, 1, ()),
    ],
)
def test_rungs_by_themselves(epochs: int, eta: int, methods: int, rungs: tuple[int, ...]):
    assert automatic_rungs(epochs, eta, methods) == rungs
    assert parse_budget("auto", eta, epochs=epochs, methods=methods) == Budget(rungs, eta)


def test_rungs_as_they_are_said():
    assert parse_budget("2, 5", 3, epochs=6, methods=4) == Budget((2, 5), 3)


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "5,2", "2,2", "6", "2,9", "1.5"])
def test_what_is_no_budget(text: str):
    with pytest.raises(UserError, match="--budget") as caught:
        parse_budget(text, 3, epochs=6, methods=4)
    assert "auto, or rising epochs below train.epochs = 6" in str(caught.value)


def test_the_best_go_on_in_their_order():
    scores = {"a": 1.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 4.5}
    assert survivors(scores, 3) == ["b", "e"]  # ceil(5 / 3)
    assert survivors(scores, 2) == ["b", "c", "e"]
    assert survivors(scores, 9) == ["e"]


def test_of_equals_the_first_goes_on_and_what_failed_never_does():
    assert survivors({"a": 1.0, "b": 1.0, "c": 1.0}, 3) == ["a"]
    assert survivors({"a": None, "b": 0.0, "c": None}, 2) == ["b"]
    assert survivors({"a": None}, 2) == []
