from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from kd_compare.page import page
from kd_compare.plots import curves_plot, gains_plot, scores_plot
from kd_compare.statistics import Gain
from kd_report.charts import standalone

SCORES = {"vanilla": [50.0, 52.0, 54.0], "<b>&kd": [53.0, 56.0, 59.0]}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_escapes_names(make_result):
    result = replace(make_result(SCORES), status="failed")
    failed = replace(result.runs[0], status="failed", error="<script>alert(1)</script>")
    reader = _Reader()
    reader.feed(page(replace(result, runs=(failed, *result.runs[1:]))))
    assert reader.links == []
    assert "script" not in reader.tags
    assert "b" not in reader.tags
    assert "<b>&kd" in reader.text
    assert "<script>alert(1)</script>" in reader.text
    assert reader.tags.count("svg") == 3
    assert "+4.00 ± 2.48" in reader.text


@pytest.mark.parametrize("plot", [scores_plot, gains_plot, curves_plot])
def test_plots_are_files_of_their_own_too(make_result, plot):
    root = ElementTree.fromstring(standalone(plot(make_result(SCORES))))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = {element.text for element in root.iter() if element.text}
    assert "<b>&kd" in words


def test_points_lie_on_the_axis(make_result):
    root = ElementTree.fromstring(standalone(scores_plot(make_result({"vanilla": [40.0, 60.0]}))))
    space = "{http://www.w3.org/2000/svg}"
    centres = {
        kind: [float(one.attrib["cx"]) for one in root.iter(f"{space}circle") if one.attrib["class"] == kind]
        for kind in ("seed", "mean")
    }
    axis = {
        float(one.text): float(one.attrib["x"])
        for one in root.iter(f"{space}text")
        if one.attrib.get("text-anchor") == "middle" and one.text
    }
    assert centres["seed"] == [pytest.approx(axis[40], abs=0.1), pytest.approx(axis[60], abs=0.1)]
    assert centres["mean"] == [pytest.approx((axis[40] + axis[60]) / 2, abs=0.1)]


def test_nothing_finished_is_a_page_too(make_result):
    result = make_result(SCORES)
    rows = tuple(
        replace(row, score=None, std=None, gain=None, wall_seconds=None, finished=0) for row in result.methods
    )
    runs = tuple(replace(run, status="waiting", top1=None) for run in result.runs)
    bare = replace(result, methods=rows, runs=runs, curves={}, teacher=None, student=None)
    reader = _Reader()
    reader.feed(page(bare))
    assert reader.tags.count("svg") == 0
    assert standalone(curves_plot(bare)).startswith("<svg")


@pytest.mark.parametrize(("top5", "shown"), [(90.0, True), (None, False)])
def test_top_5_is_shown_where_there_is_one(make_result, top5, shown):
    result = make_result(SCORES)
    text = page(replace(result, runs=tuple(replace(one, top5=top5) for one in result.runs)))
    assert ("top-5" in text) is shown


def test_the_tile_names_a_best_method_only_if_it_is_clearly_the_best(make_result):
    tied = page(make_result({"vanilla": [50.0, 52.0, 54.0], "kd": [50.0, 52.5, 54.0]}))
    assert '<div class="label">highest mean</div><div class="value">52.17 %</div>' in tied
    assert '<tr class="">' in tied
    assert '<tr class="best">' not in tied
    assert "vanilla does not differ clearly from it" in tied
    clear = page(make_result({"vanilla": [50.0, 52.0, 54.0], "kd": [60.0, 62.5, 64.0]}))
    assert '<div class="label">best</div><div class="value">62.17 %</div>' in clear
    assert clear.count('<tr class="best">') == 1


def test_clear_gains_have_a_colour_those_on_the_test_images_too(make_result):
    result = make_result({"vanilla": [50.0, 52.0, 54.0], "kd": [60.0, 62.5, 64.0]})
    worse = Gain(-2.0, -3.0, -1.0, 3, -3.0, -1.0)
    rows = [replace(row, test_score=40.0, test_gain=worse if row.gain else None) for row in result.methods]
    text = page(replace(result, methods=tuple(rows)))
    assert '<th scope="col">test gain over vanilla</th>' in text
    assert '<td class="worse">-2.00 ± 1.00</td>' in text
    assert text.count('<td class="clear">') == 1
    unclear = replace(worse, corrected_high=0.5)  # alone it would be clear
    rows = [replace(row, test_gain=unclear if row.gain else None) for row in rows]
    assert '<td class="worse">' not in page(replace(result, methods=tuple(rows)))
