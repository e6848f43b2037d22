"""A small chart for each of many curves."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from kd_report.charts import Curve, Panels, standalone

NASTY = "<b>&\"'"


def _panels(count: int, reference: str | None = "m0") -> Panels:
    curves = [
        Curve(f"m{number}", [(1, 10.0), (2, 20.0 + number), (3, 50.0 + number)], "")
        for number in range(count)
    ]
    return Panels(curves=curves, label="top-1 %", reference=reference, written=["50.00"] * count)


def _of(root: ElementTree.Element, class_: str) -> list[ElementTree.Element]:
    return [node for node in root.iter() if node.get("class") == class_]


def test_each_curve_has_a_chart_with_the_band_and_the_reference_behind_it():
    charts = [ElementTree.fromstring(str(chart)) for chart in _panels(10).charts()]
    assert len(charts) == 10
    assert [len(_of(chart, "line faint")) for chart in charts] == [0, *[1] * 9]  # not behind itself
    names = [[text.text for text in _of(chart, "name")] for chart in charts]
    assert names == [[f"m{number}"] for number in range(10)]
    for chart in charts:
        order = [node.get("class") for node in chart.iter() if node.get("class")]
        assert order.index("band") < order.index("line student")
        assert "50.00" in [text.text for text in chart.iter("text")]
    assert charts[3].attrib["aria-label"] == "top-1 %: m3"


def test_the_axes_are_common_and_the_band_reaches_from_the_lowest_to_the_highest():
    charts = [ElementTree.fromstring(str(chart)) for chart in _panels(10).charts()]
    bands = {_of(chart, "band")[0].attrib["d"] for chart in charts}
    assert len(bands) == 1
    corners = [corner.split() for corner in bands.pop()[1:-1].split("L")]
    last = [float(y) for x, y in corners if x == corners[2][0]]
    ends = [
        float(path.attrib["d"].split()[-1])
        for chart in charts
        for path in _of(chart, "line student")[0].iter("path")
    ]
    assert (min(last), max(last)) == (pytest.approx(min(ends)), pytest.approx(max(ends)))
    ticks = [[text.text for text in _of(chart, "tick")] for chart in charts]
    assert all(one == ticks[0] for one in ticks)
    assert ticks[0][-2:] == ["1", "3"]  # epochs


def test_a_curve_that_ends_early_leaves_the_band_to_the_others():
    panels = Panels(
        curves=[Curve("a", [(1, 1.0)], ""), Curve("b", [(1, 2.0), (2, None), (3, 9.0)], "")], label="x"
    )
    first, _ = (ElementTree.fromstring(str(chart)) for chart in panels.charts())
    corners = _of(first, "band")[0].attrib["d"].split("L")
    assert len(corners) == 4  # two epochs
    assert corners[1] == corners[2].removesuffix("Z")
    assert len(list(_of(first, "line student")[0].iter("circle"))) == 1
    assert _of(first, "line faint") == []


def test_all_charts_are_in_one_picture_that_encloses_them():
    root = ElementTree.fromstring(standalone(_panels(10).picture()))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    moved = [node.attrib["transform"] for node in root.iter() if "transform" in node.attrib]
    assert len(moved) == len(set(moved)) == 10
    places = [tuple(map(float, one.removeprefix("translate(")[:-1].split())) for one in moved]
    assert max(x for x, _ in places) + 190 <= width
    assert max(y for _, y in places) + 128 <= height


def test_nothing_and_nasty_names_are_no_error():
    assert Panels(curves=[], label="x").charts() == []
    ElementTree.fromstring(str(Panels(curves=[], label="x").picture()))
    nasty = Panels(curves=[Curve(NASTY, [(1, float("nan")), (2, 1.0)], "")], label=NASTY, written=[NASTY])
    root = ElementTree.fromstring(str(nasty.charts()[0]))
    assert [text.text for text in _of(root, "name")] == [NASTY]
    assert not _of(root, "band")
