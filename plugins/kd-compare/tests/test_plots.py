"""The curves of a comparison: few methods in one chart, many in small ones."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from kd_compare.page import page
from kd_compare.plots import curves_figure, curves_plot

EPOCHS = 20


def _scores(count: int) -> dict[str, list[float]]:
    return {
        "vanilla": [50.0, 51.0],
        **{f"m{number}": [60.0 + number, 61.5 + number] for number in range(count - 1)},
    }


def _steep(result):
    """Curves that rise fast, and then come close to their end."""
    curves = {
        row.label: [(row.score or 0) * (0.1 if epoch < 5 else 1) for epoch in range(EPOCHS)]
        for row in result.methods
    }
    return replace(result, curves=curves)


def test_up_to_eight_methods_have_one_chart_with_names_at_the_ends(make_result):
    result = make_result(_scores(8))
    assert curves_figure(result) is None
    root = ElementTree.fromstring(str(curves_plot(result)))
    classes = [group.attrib["class"] for group in root.iter("g") if group.find("title") is not None]
    assert classes == [*(f"line s{number}" for number in range(1, 8)), "line faint"]
    assert len([path for path in root.iter("path") if path.get("class") == "leader"]) == 8


def test_more_methods_have_a_small_chart_each(make_result):
    result = make_result(_scores(9))
    figure = curves_figure(result)
    assert figure is not None
    assert figure.count("<svg") == 9 + 3  # and three keys of the legend
    assert figure.count('class="line student"') == 9
    assert figure.count('class="line faint"') == 8
    assert ">60.75</text>" in figure  # after the last epoch of m0
    text = page(result)
    assert text.count("card wide") == 1
    assert text.count('class="chart"') == 2 + 9  # gains, scores
    assert str(curves_plot(result)).count("translate(") == 9


def test_without_a_baseline_there_is_none_behind_the_curves(make_result):
    scores = {f"m{number}": [60.0 + number, 61.5] for number in range(9)}
    figure = curves_figure(make_result(scores))
    assert figure is not None
    assert "line faint" not in figure
    assert "key faint" not in figure


def test_a_dropped_method_has_the_legend_of_all(make_result):
    result = make_result(_scores(3))
    curves = {**result.curves, "m0": result.curves["m0"][:2]}
    text = str(curves_plot(replace(result, curves=curves)))
    assert "leader" not in text
    assert "m0</text>" in text


def test_the_steep_begin_of_curves_is_left_out_and_the_title_says_so(make_result):
    result = make_result(_scores(3))
    assert "from" not in str(curves_plot(result))
    text = str(curves_plot(_steep(result)))
    assert "mean over the seeds, from 50 on" in text
    root = ElementTree.fromstring(text)
    paths = [path.attrib["d"] for path in root.iter("path") if path.get("class") != "leader"]
    assert [path.count("L") for path in paths] == [EPOCHS - 5 - 1] * 3


@pytest.mark.parametrize("count", [3, 9])
def test_a_method_that_was_dropped_low_is_drawn_too(make_result, count: int):
    result = _steep(make_result(_scores(count)))
    curves = {**result.curves, "m0": [5.0, 6.0, 6.5]}
    text = str(curves_plot(replace(result, curves=curves)))
    assert "from" not in text
