from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import kd_report
import pytest
from kd_report import plugin

from kdcore import PLUGIN_API, RunFailed
from kdcore.plugin import get_plugins

ENTRIES = [*plugin.kd_commands(), *plugin.kd_report_sections()]


def test_the_distribution_has_the_entry_point():
    (found,) = [entry for entry in entry_points(group="kdcore") if entry.name == "kd-report"]
    assert found.load() is plugin
    assert plugin.PLUGIN_API == PLUGIN_API
    (info,) = [info for info in get_plugins().infos if info.name == "kd-report"]
    assert info.status == "loaded"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_target_is_there(entry: Any):
    module, _, name = entry.target.partition(":")
    assert callable(getattr(import_module(module), name))


def test_declaring_imports_nothing_heavy():
    heavy = {"torch", "timm", "numpy", "pydantic", "jinja2", "matplotlib", "PIL"}
    code = f"import sys, kd_report, kd_report.plugin; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", kd_report.__all__)
def test_public_names(name: str):
    assert getattr(kd_report, name).__module__.startswith("kd_report.")


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="module 'kd_report' has no attribute 'nothing'"):
        _ = kd_report.nothing


def test_the_files_of_pages_are_installed():
    folder = Path(kd_report.__file__).parent
    assert (folder / "charts" / "charts.css").is_file()
    assert {path.name for path in (folder / "templates").iterdir()} >= {
        "base.html",
        "report.html",
        "style.css",
    }


def test_a_run_that_wants_no_report(make_run, monkeypatch: pytest.MonkeyPatch):
    assert plugin.kd_run_finished(make_run("quiet", report=False)) is None
    monkeypatch.setenv("KD_NO_REPORT", "1")
    assert plugin.kd_run_finished(make_run("later")) is False  # the next start may write it


def test_the_end_of_a_run_whose_report_cannot_be_made(make_run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KD_NO_REPORT", raising=False)
    with pytest.raises(
        RunFailed, match=r"report: it could not be made \(UserError: (.|\n)*'kd report .*' tries again"
    ):
        plugin.kd_run_finished(make_run("of-images-that-are-gone"))
