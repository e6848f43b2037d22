"""docs/results/digits.md: its tables are those of its records, and every distiller is in them."""

from __future__ import annotations

import json

import pytest

from kdcore import DistillerEntry
from kdcore.plugins import get_plugins


@pytest.fixture(scope="module")
def digits(docs_script):
    """docs/digits.py."""
    return docs_script("digits")


@pytest.fixture(scope="module")
def data(root):
    return json.loads((root / "docs" / "results" / "digits.json").read_text("utf-8"))


def test_the_tables_are_those_of_the_records(root, digits, data):
    page = (root / "docs" / "results" / "digits.md").read_text("utf-8")
    assert page.partition(digits.START)[2].partition(digits.END)[0] == digits.tables(data)


def test_every_distiller_has_finished(data):
    names = {
        item.entry.name for item in get_plugins().all(DistillerEntry) if item.plugin.name.startswith("kd")
    }
    runs = [(name, run) for one in data for name, run in one["runs"].items()]
    assert {name for name, _ in runs} == names
    for name, run in runs:
        assert (run["status"], run["curve"][-1]) == ("finished", pytest.approx(run["top1"])), name


def test_a_row_has_the_difference_to_the_student_alone(digits):
    run = {"top1": 42.0, "agreement": 40.25, "heads": 1234}
    assert digits.row("kd", run, 31.5) == "| kd | 42.0 | +10.5 | 40.2 | 1,234 |"
    assert digits.row("vanilla", {**run, "agreement": None}, 42.0) == "| vanilla | 42.0 |  |  | 1,234 |"
