from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kd_report.charts import (
    Cloud,
    Curve,
    DotRow,
    Share,
    StudentAndTeacher,
    dot_plot,
    dumbbells,
    figure,
    line_chart,
    matrix,
    numbers,
    reliability,
    scatter,
    shares,
    standalone,
)
from kd_report.charts.lines import spread
from kd_report.charts.svg import WIDTH, Scale, clipped, element, log_ticks, ticks
from markupsafe import Markup

NASTY = "<script>&\"'"
FINITE = st.floats(-1e9, 1e9, allow_nan=False)


def _parsed(chart: Markup) -> ElementTree.Element:
    """As XML, which says that all is closed and escaped; every number in it is one."""
    assert not re.search(r"\b(nan|inf)\b", str(chart))
    return ElementTree.fromstring(str(chart))


@settings(deadline=None)
@given(FINITE, FINITE)
@example(0.0, 5e-324)
@example(-1e9, -999999999.9999999)
@example(-1e9, -999999999.9980469)
@example(1.0, 1.0 + 2e-10)
def test_ticks_enclose_the_values_and_are_few(one: float, other: float):
    low, high = sorted((one, other))
    found = ticks(low, high)
    assert found == sorted(set(found))
    assert 2 <= len(found) <= 9
    slack = 1e-6 * (abs(low) + abs(high))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack


def test_ticks_are_round():
    assert ticks(0, 97) == [0, 25, 50, 75, 100]
    assert ticks(0.31, 0.36) == pytest.approx([0.30, 0.32, 0.34, 0.36])
    assert ticks(5, 5) == [2, 4, 6, 8]


@pytest.mark.parametrize(("low", "high"), [(0.003, 20.0), (1.0, 1.0), (3.0, 4.0), (1e-6, 1e3)])
def test_logarithmic_ticks_enclose_the_values(low: float, high: float):
    found = log_ticks(low, high)
    assert found == sorted(found)
    assert found[0] <= low * 1.001
    assert found[-1] >= high * 0.999
    assert len(found) <= 12


def test_a_scale_stops_at_its_edges():
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (-5, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]
    assert Scale(1, 100, 0, 2, log=True)(10) == pytest.approx(1)
    assert Scale(3, 3, 0, 2)(3) == 1


def test_text_and_attributes_are_escaped():
    found = element("a", NASTY, title=NASTY, class_="x", missing=None)
    assert "<script>" not in found
    root = _parsed(found)
    assert root.text == NASTY
    assert root.attrib == {"title": NASTY, "class": "x"}


def test_a_line_has_a_point_for_each_epoch_and_a_hole_where_nothing_was_measured():
    chart = line_chart(
        [Curve(NASTY, [(1, 10.0), (2, None), (3, 30.0), (4, 40.0)], "s1"), Curve("t", [], "s2", 90.0)],
        label="x",
        x_label="epoch",
        y_label="%",
    )
    root = _parsed(chart)
    paths = [node.attrib["d"] for node in root.iter("path")]
    assert len(paths) == 1
    assert paths[0].count("M") == 2
    assert paths[0].count("L") == 1
    assert len(list(root.iter("circle"))) == 3
    heights = [float(node.attrib["cy"]) for node in root.iter("circle")]
    assert heights == sorted(heights, reverse=True)
    assert root.attrib["role"] == "img"


def test_one_epoch_alone_is_a_dot():
    root = _parsed(line_chart([Curve("a", [(1, 3.0)], "s1")], label="x", x_label="e", y_label="y", log=True))
    assert not list(root.iter("path"))
    assert len(list(root.iter("circle"))) == 1


def test_nothing_to_draw_is_no_error():
    _parsed(line_chart([], label="x", x_label="e", y_label="y"))
    _parsed(dumbbells([], label="x", x_label="y"))
    _parsed(scatter([], label="x"))
    _parsed(shares([], label="x"))
    _parsed(reliability([0, 50, 100], [0, 0], [0, 0], [0, 0], label="x", class_="student"))


def test_dumbbells_stand_at_their_values():
    root = _parsed(
        dumbbells(
            [StudentAndTeacher("a", 20.0, 80.0), StudentAndTeacher("b", 50.0, None)], label="x", x_label="%"
        )
    )
    circles = list(root.iter("circle"))
    assert len(circles) == 2
    assert float(circles[0].attrib["cx"]) < float(circles[1].attrib["cx"]) < WIDTH
    assert sum(node.attrib.get("class") == "link" for node in root.iter("line")) == 1


def test_shares_fill_the_bar():
    chart = shares([Share("a", 30.0, "x"), Share("b", 10.0, "y"), Share("c", 0.0, "z")], label="l")
    widths = [float(node.attrib["style"].split()[1][:-1]) for node in _parsed(chart).iter("span")]
    assert widths == [75.0, 25.0]


def test_a_small_matrix_has_a_cell_for_each_value():
    values = np.array([[1.0, -0.5], [0.0, 0.2]])
    root = _parsed(
        matrix(values, label="x", names=["a", NASTY], largest=1.0, rows="r", columns="c", write=str)
    )
    cells = [node for node in root.iter("rect") if "cell" in node.attrib["class"]]
    assert [node.attrib["class"] for node in cells] == ["cell plus", "cell minus", "cell plus", "cell plus"]
    assert [float(node.attrib["fill-opacity"]) for node in cells] == pytest.approx([1, 0.5, 0.04, 0.2])
    assert NASTY in "".join(root.itertext())


def test_a_large_matrix_is_one_picture():
    values = np.eye(100)
    chart = matrix(values, label="x", names=["n"] * 100, largest=1.0, rows="r", columns="c", write=str)
    assert len(list(_parsed(chart).iter("image"))) == 1
    assert len(chart) < 10_000


def test_a_reliability_diagram_has_a_bar_for_each_bin_with_images():
    chart = reliability([0, 50, 100], [3, 1], [40.0, 100.0], [45.0, 80.0], label="x", class_="teacher")
    bars = [node for node in _parsed(chart).iter("rect") if node.attrib["class"] == "bar teacher"]
    tall = [float(node.attrib["height"]) for node in bars]
    assert tall[1] / tall[0] == pytest.approx(2.5)
    empty = reliability([0, 50, 100], [3, 0], [40.0, 0], [45.0, 0], label="x", class_="teacher")
    assert str(empty).count("bar teacher") == 1


def test_all_points_of_a_cloud_are_drawn():
    points = [(float(k), float(k * k)) for k in range(20)]
    root = _parsed(scatter([Cloud("a", points, "m0"), Cloud("b", points[:3], "m1", "triangle")], label="x"))
    paths = [node.attrib["d"] for node in root.iter("path")]
    assert [path.count("M") for path in paths] == [20, 3]


def test_a_figure_has_caption_legend_note_and_numbers():
    table = numbers(("epoch", "a"), [(1, 0.123456), (2, None), (3, NASTY)], caption="n")
    root = _parsed(figure("t", element("svg"), legend=[("s1", "a")], note=NASTY, table=table))
    assert root.find("figcaption").text == "t"  # type: ignore[union-attr]
    cells = [node.text for node in root.iter("td")]
    assert cells == ["0.1235", "\N{EN DASH}", NASTY]
    assert [node.attrib["scope"] for node in root.iter("th")] == ["col", "col", "row", "row", "row"]
    assert root.find(".//p[@class='note']").text == NASTY  # type: ignore[union-attr]


def test_long_names_are_clipped():
    assert clipped("short") == "short"
    assert clipped("a very long name of a class") == "a very long name…"
    assert clipped("abcdef", 4) == "abc…"


def test_long_names_are_broken_and_numbers_are_not():
    text = str(numbers(("class", "a"), [("amber_fjord-<_060", 0.5), ("0.5 to 1", "6.25 %")], caption="n"))
    assert '<th scope="row" class="words">amber_<wbr>fjord-&lt;_<wbr>060</th><td>0.5</td>' in text
    assert '<th scope="row">0.5 to 1</th><td>6.25 %</td>' in text


def test_a_line_leaves_out_numbers_that_no_axis_has():
    points = [(1, 2.0), (2, float("nan")), (3, float("inf")), (4, 1.0)]
    drawn = line_chart([Curve("loss", points, "a", level=float("nan"))], label="l", x_label="x", y_label="y")
    assert drawn == line_chart(
        [Curve("loss", [(1, 2.0), (2, None), (3, None), (4, 1.0)], "a")], label="l", x_label="x", y_label="y"
    )


def test_a_dot_plot_has_its_values_on_the_axis_and_clips_long_names():
    rows = [
        DotRow(name=NASTY, mean=50.0, low=40.0, high=60.0, values=[40.0, 60.0], written="50.00 %"),
        DotRow(name="a" * 100, mean=70.0),
    ]
    root = _parsed(dot_plot(rows, label="top-1 %", reference=45.0))
    lines = {line.get("class"): line for line in root.iter("line")}
    dots = [float(dot.attrib["cx"]) for dot in root.iter("circle") if dot.get("class") == "seed"]
    assert dots == [float(lines["whisker"].attrib[end]) for end in ("x1", "x2")]
    assert dots[0] < float(lines["zero"].attrib["x1"]) < dots[1]
    texts = [text.text for text in root.iter("text")]
    assert "a" * 100 not in texts
    assert {NASTY, "50.00", clipped("a" * 100, 28)} <= set(texts)
    assert "a" * 100 in str([title.text for title in root.iter("title")])


def test_names_of_curves_can_be_inside_the_chart():
    curves = [
        Curve(f"method {number}", [(1, number), (2, 9.0)], "", colour=f"hsl({number} 1% 1%)")
        for number in range(30)
    ]
    root = _parsed(line_chart(curves, label="x", x_label="epoch", y_label="%", names_inside=True))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    names = [text for text in root.iter("text") if str(text.text).startswith("method")]
    assert len(names) == 30
    assert all(float(text.attrib["y"]) < height and float(text.attrib["x"]) < width for text in names)
    assert next(group.get("style") for group in root.iter("g")) == "--c: hsl(0 1% 1%)"


def _names_and_lines(root: ElementTree.Element) -> tuple[dict[str, float], dict[str, float]]:
    """By name, the height of its text and that of the end of its curve."""
    texts = {str(text.text): float(text.attrib["y"]) - 4 for text in root.iter("text")}
    ends = {}
    for group in root.iter("g"):
        title, path = group.find("title"), group.find("path")
        if title is not None and path is not None:
            ends[str(title.text)] = float(path.attrib["d"].split()[-1])
    return texts, ends


def test_names_stand_at_the_ends_of_their_curves():
    curves = [Curve(name, [(1, 1.0), (2, end)], "s1") for name, end in (("low", 2.0), ("high", 90.0))]
    texts, ends = _names_and_lines(
        _parsed(line_chart(curves, label="x", x_label="e", y_label="y", names_at_ends=True))
    )
    for name in ("low", "high"):
        assert texts[name] == pytest.approx(ends[name], abs=0.11)


def test_names_that_would_lie_on_each_other_make_room_in_their_order():
    curves = [Curve(f"m{number}", [(1, 1.0), (2, 90.0 + number / 10)], "s1") for number in range(8)]
    root = _parsed(line_chart(curves, label="x", x_label="e", y_label="y", names_at_ends=True))
    texts, ends = _names_and_lines(root)
    names = [f"m{number}" for number in reversed(range(8))]  # from the top
    assert sorted(ends, key=ends.__getitem__) == names
    heights = [texts[name] for name in names]
    assert all(below - above >= 13.9 for above, below in itertools.pairwise(heights))
    assert len([path for path in root.iter("path") if path.get("class") == "leader"]) == 8


@pytest.mark.parametrize(
    "curves",
    [
        [Curve("whole", [(1, 1.0), (2, 2.0), (3, 3.0)], "s1"), Curve("dropped", [(1, 1.0), (2, 2.0)], "s2")],
        [Curve("some", [(1, 1.0)], "s1"), Curve("nothing", [], "s2")],
    ],
    ids=["a curve ends early", "a curve is empty"],
)
def test_names_without_an_end_of_their_own_are_in_a_legend(curves):
    labels = {"label": "x", "x_label": "e", "y_label": "y"}
    assert line_chart(curves, **labels, names_at_ends=True) == (
        line_chart(curves, **labels, names_inside=True)
    )


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_places_are_spread_as_little_as_possible(places: list[float]):
    found = spread(places, 12, 0, 100)
    ordered = [new for _, new in sorted(zip(places, found, strict=True))]
    assert all(after - before >= 12 - 1e-9 for before, after in itertools.pairwise(ordered))
    assert min(found) >= -1e-9
    assert max(found) <= 100 + 1e-9
    far = sorted(places)
    if all(after - before >= 12 for before, after in itertools.pairwise(far)):
        assert found == pytest.approx(places)


def test_without_room_the_gaps_are_smaller():
    assert spread([50.0, 50.0, 50.0], 80, 0, 100) == [0, 50, 100]


def test_a_chart_as_a_file_has_its_styles():
    curve = line_chart([Curve("a", [(1, 1.0), (2, 3.0)], "s1")], label="x", x_label="e", y_label="y")
    root = ElementTree.fromstring(standalone(curve))
    style = root.find("{http://www.w3.org/2000/svg}style")
    assert style is not None
    assert style.text is not None
    assert ".line path" in style.text
    assert "--student" in style.text
    assert ElementTree.fromstring(standalone(None)).attrib["width"] == "1"
