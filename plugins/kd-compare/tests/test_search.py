"""Search spaces, from what a user writes."""

from __future__ import annotations

import pytest
from kd_compare.tuning.constraints import parse_constraint
from kd_compare.tuning.search import Dimension, parse_dimension, split_search

from kdcore import UserError


@pytest.mark.parametrize(
    ("value", "default", "wanted"),
    [
        ("1..8", 4.0, Dimension("p", "float", 1, 8)),
        ("1..8", 4, Dimension("p", "int", 1, 8)),
        ("1..8", None, Dimension("p", "int", 1, 8)),
        ("1.0..8", 4, Dimension("p", "float", 1, 8)),
        ("int(1..8)", 4.0, Dimension("p", "int", 1, 8)),
        ("float(1..8)", 4, Dimension("p", "float", 1, 8)),
        ("log(1e-3..1)", 0.1, Dimension("p", "float", 0.001, 1, log=True)),
        ("log(1..1024)", 64, Dimension("p", "int", 1, 1024, log=True)),
        ("-1.5..0", None, Dimension("p", "float", -1.5, 0)),
        ("0..1/0.25", 0.5, Dimension("p", "float", 0, 1, step=0.25)),
        ("sgd, lamb", "sgd", Dimension("p", "choice", choices=("sgd", "lamb"))),
        ("1,2,4", 1, Dimension("p", "choice", choices=(1, 2, 4))),
        ("[[1], [1, 2]]", [1], Dimension("p", "choice", choices=([1], [1, 2]))),
        ("true,false", True, Dimension("p", "choice", choices=(True, False))),
        ([1, "a"], None, Dimension("p", "choice", choices=(1, "a"))),
        ({"low": 1, "high": 8}, 4.0, Dimension("p", "float", 1, 8)),
        ({"low": 0.1, "high": 8, "log": True}, 4, Dimension("p", "float", 0.1, 8, log=True)),
        ({"low": 0, "high": 8, "step": 2}, 4, Dimension("p", "int", 0, 8, step=2)),
    ],
)
def test_a_dimension(value, default, wanted: Dimension):
    assert parse_dimension("p", value, default) == wanted


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("8..1", "the low end must be below the high end"),
        ("1..1", "the low end must be below the high end"),
        ("1..inf", "the low end must be below the high end"),
        ("log(0..1)", "must begin above 0"),
        ("log(1..8", "neither a range nor a list"),
        ("sqrt(1..8)", "neither a range nor a list"),
        ("int(0.5..2)", "must be whole numbers"),
        ("a..b", "is not a number"),
        ("0..1/2", "a step must be above 0 and no longer than the range"),
        ("log(1..8/2)", "a logarithmic range has none"),
        ("4", "there is nothing to search"),
        ("1,1", "stands twice"),
        ({"low": 1}, "a range is an object of low and high"),
        ({"low": 1, "high": 8, "base": 2}, "a range is an object of low and high"),
        ({"low": "1", "high": 8}, "must be numbers"),
        ({"low": 1, "high": 8, "log": 1}, "log must be true or false"),
    ],
)
def test_a_wrong_dimension_is_refused(value, part: str):
    with pytest.raises(UserError) as caught:
        parse_dimension("distiller.beta", value, 4.0)
    assert part in str(caught.value)
    assert "--search" in str(caught.value)


def test_what_a_dimension_says_is_read_back():
    for text, default in [("1..8", 4.0), ("int(1..8)", 4), ("log(0.001..1)", 0.1), ("0..1/0.25", 0.5)]:
        assert str(parse_dimension("p", text, default)) == text


def test_a_flag_is_a_path_and_a_range():
    assert split_search("optimizer.lr = log(1..2)") == ("optimizer.lr", " log(1..2)")
    for text in ("optimizer.lr", "=1..2", "a="):
        with pytest.raises(UserError, match="not a part of a search space"):
            split_search(text)


def test_a_constraint():
    summary = {"student": {"parameters": 1200, "model": "a"}, "images_per_second": 50.0}
    assert parse_constraint("student.parameters<=1e3").violation(summary) == 200
    assert parse_constraint("images_per_second >= 40").violation(summary) == -10
    assert str(parse_constraint("student.parameters <= 1000")) == "student.parameters<=1000"
    with pytest.raises(UserError, match=r"did you mean 'student.parameters'"):
        parse_constraint("student.parameter<=3").violation(summary)
    for text in ("student.parameters<3", "a<=b", "<=3", "a==1"):
        with pytest.raises(UserError, match="not a constraint"):
            parse_constraint(text)
