from __future__ import annotations

import json
from pathlib import Path

import pytest
from kd_report.reports import report as api


def test_it_prints_where_the_page_is(kd, monkeypatch: pytest.MonkeyPatch):
    def made(*runs: Path, output: Path | None, images: int | None) -> api.ReportResult:
        assert runs == (Path("a"), Path("b"))
        assert output == Path("page.html")
        assert images == 7
        return api.ReportResult(Path("page.html"), (Path("f.png"),), ("something is missing",))

    monkeypatch.setattr(api, "report", made)
    arguments = ("report", "a", "b", "--output", "page.html", "--images", "7")
    done = kd(*arguments)
    assert (done.code, done.out) == (0, "page.html\n")
    assert "note: something is missing" in done.err
    done = kd(*arguments, "--json")
    assert done.code == 0
    assert json.loads(done.out) == {
        "report": "page.html",
        "figures": ["f.png"],
        "notes": ["something is missing"],
    }


def test_a_folder_that_is_no_run_ends_with_2(kd, tmp_path: Path):
    done = kd("report", str(tmp_path))
    assert done.code == 2
    assert "this is not a run directory" in done.err
