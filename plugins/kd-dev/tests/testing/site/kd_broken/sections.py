"""Report sections that break one rule each."""

from __future__ import annotations

from kdcore import ReportSection

calls = [0]


def good(run):
    lines = run.directory.metrics()
    return ReportSection(id="good", title="Good", text=f"{len(lines)} epochs.", figures=["<svg></svg>"])


def silent(run):
    return None


def no_argument():
    return None


def raises(run):
    return ReportSection(id="a", title="A", text=run.spec.teacher.model)


def returns_text(run):
    return "<p>hello</p>"


def script(run):
    return ReportSection(id="a", title="A", figures=["<svg></svg>", "<script>alert(1)</script>"])


def writes(run):
    calls[0] += 1
    (run.directory.path / "notes.txt").write_text(f"{calls[0]}")
    return ReportSection(id="a", title="A")


def counts(run):
    calls[0] += 1
    return ReportSection(id="a", title="A", text=f"{calls[0]}")
