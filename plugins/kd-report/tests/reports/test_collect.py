"""Sections of other plugins in a report, and what a broken one does to it: a line that says so, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from kd_report.reports import paper
from kd_report.reports.report import write_report

from kdcore.plugin import get_plugins

SECTIONS = """
from kdcore import ReportSection, SectionEntry, hookimpl

@hookimpl
def kd_report_sections():
    return [SectionEntry(name=name, summary="A section.", target=target, order=order) for name, target, order in {rows}]

def mine(run):
    student, _ = run.predictions
    table = "<table><tr><td>x</td></tr></table>"
    return ReportSection("mine", "Mine & yours", f"<b>{{len(student)}}</b> images", [table])

def nothing(run):
    return None

def failing(run):
    raise ZeroDivisionError("no images")

def ending(run):
    raise SystemExit(3)

def mapping(run):
    return {{"title": "Mine"}}

def wrong(run):
    return ReportSection("Not an id", "Wrong")

def page(run):
    return ReportSection("run", "What was run")
"""
OWN = ["training", "classes", "calibration", "agreement", "differ", "embeddings"]


@pytest.fixture(autouse=True)
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "find_spec", lambda name: None)


@pytest.fixture
def made(make_run, make_opened, read_page) -> Callable[[], tuple[Any, str, tuple[str, ...]]]:
    """Writes a report: the page as it is read, its HTML, and its notes."""

    def make() -> tuple[Any, str, tuple[str, ...]]:
        run = make_run()
        result = write_report(run, make_opened(run), plugins=get_plugins(), tsne=False)
        text = result.path.read_text("utf-8")
        return read_page(text), text, result.notes

    return make


def _sections(html: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', html)


def test_its_own_sections_are_a_plugin_s(made):
    page, html, _ = made()
    assert _sections(html) == ["run", *OWN]
    assert page.anchors == [f"#{name}" for name in ["run", *OWN]]


def test_a_section_of_another_plugin_stands_where_its_order_says(add_plugin, made):
    rows = [("mine", "kd_mine:mine", 15), ("nothing", "kd_mine:nothing", 5)]
    add_plugin("kd-mine", SECTIONS.format(rows=rows))
    page, html, notes = made()
    assert _sections(html) == ["run", "training", "mine", *OWN[1:]]
    assert "Mine &amp; yours" in html
    assert "<b>400</b> images" in page.text  # its text is shown, not run
    assert "<table><tr><td>x</td></tr></table>" in html  # a figure is HTML
    assert not any("Left out" in note for note in notes)


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("kd_mine:failing", "it raised ZeroDivisionError: no images"),
        ("kd_mine:ending", "it raised SystemExit: 3"),
        ("kd_mine:mapping", "it returned dict; it must return a kdcore.ReportSection, or nothing"),
        ("kd_mine:wrong", "it raised ValueError: ReportSection: id is 'Not an id'"),
        ("kd_mine:page", "its id 'run' is that of the page itself"),
        ("kd_mine:gone", "its code, kd_mine:gone, cannot be loaded: "),
        ("kd_nowhere.code:mine", "its code, kd_nowhere.code:mine, cannot be loaded: "),
    ],
)
def test_a_section_that_fails_is_left_out_with_a_line(add_plugin, made, target, cause):
    add_plugin("kd-mine", SECTIONS.format(rows=[("bad", target, 1), ("mine", "kd_mine:mine", 100)]))
    page, html, notes = made()
    (line,) = [note for note in notes if note.startswith("Left out")]
    assert line.startswith(f"Left out: report section 'bad' of plugin kd-mine 1.0: {cause}")
    assert line in page.text
    assert _sections(html) == ["run", *OWN, "mine"]


def test_two_sections_with_one_id(add_plugin, made):
    add_plugin("kd-mine", SECTIONS.format(rows=[("mine", "kd_mine:mine", 100)]))
    add_plugin("kd-other", SECTIONS.format(rows=[("other", "kd_other:mine", 101)]))
    _, html, notes = made()
    assert _sections(html) == ["run", *OWN, "mine"]
    label = "report section 'mine' of plugin kd-mine 1.0"
    assert any(note.endswith(f"kd-other 1.0: its id 'mine' is that of {label}") for note in notes)


def test_a_broken_plugin_has_its_warning_and_no_section(add_plugin, make_run, kd, made):
    broken = SECTIONS.format(rows=[("mine", "kd_mine:mine", 1)])
    add_plugin("kd-mine", broken.replace("return [", "1 / 0; return ["))
    _, html, _ = made()
    assert _sections(html) == ["run", *OWN]
    done = kd("report", make_run("other").path)
    assert done.code == 0
    assert "plugin kd-mine 1.0 is broken: " in done.err
    assert "ZeroDivisionError" in done.err


def test_without_images_there_is_what_the_files_say(add_plugin, make_run):
    add_plugin("kd-mine", SECTIONS.format(rows=[("mine", "kd_mine:mine", 1)]))
    made = write_report(make_run(), None, plugins=get_plugins())
    assert _sections(made.path.read_text("utf-8")) == ["run", "training"]
