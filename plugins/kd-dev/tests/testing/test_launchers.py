"""Each check of a launcher fails for the one that breaks its rule, and all others pass; one with processes passes."""

from __future__ import annotations

import re

import pytest
from kd_dev.testing import launcher_checks, launchers
from kd_dev.testing.launchers import RULES

BREAKS = {
    "declaration": ("NoSetup", "cannot be called with options, setup by position"),
    "protocol": ("NoAttach", "launchers:NoAttach has no method 'attach'"),
    "runs_a_job": ("NoLog", "the log of 'kd --version' is ''"),
    "reports_a_failure": ("OnlySuccess", r"ended\(\) did not report fails within 1 s"),
    "one_after_the_other": ("OneJob", "two jobs did not end within 1 s"),
    "finds_a_job_again": (
        "Forgets",
        r"attach\(\) returned True, but ended\(\) did not report the job within 1 s",
    ),
    "stops_a_run": ("NeverStops", r"ended\(\) did not report tiny within 1 s"),
}


@pytest.fixture(autouse=True)
def installed(broken, request, monkeypatch):
    """The plugin; nothing that is waited for takes time, except with processes."""
    if "processes" not in request.node.name:
        monkeypatch.setattr(launchers, "SECONDS", 1.0)


def test_every_rule_has_somebody_who_breaks_it():
    assert list(BREAKS) == [rule.id for rule in RULES]


@pytest.mark.parametrize("id", BREAKS)
def test_a_broken_rule_is_found_and_no_other(id, look):
    name, message = BREAKS[id]
    found = look(launcher_checks(f"toy-{name}"))
    assert set(found.failed) == {id}, found.failed
    assert re.search(message, found.failed[id]), found.failed[id]
    assert f"docs/conformance.md#{id}-launcher" in found.failed[id]
    assert len(found.skipped) == {"declaration": 6, "protocol": 5}.get(id, 0)


@pytest.mark.parametrize(
    ("name", "id", "message"),
    [
        ("Repeats", "runs_a_job", r"ended\(\) reports the job again"),
        ("Vague", "finds_a_job_again", r"attach\(\) returned NoneType, not True or False"),
        ("EndsAtOnce", "stops_a_run", "the run ended with code 1 before it was stopped"),
    ],
)
def test_other_ways_to_break_a_rule(name, id, message, look):
    found = look(launcher_checks(f"toy-{name}"))
    assert re.search(message, found.failed[id]), found.failed


@pytest.mark.parametrize("name", ["Good", "FindsAgain"])
def test_a_good_one_passes(name, look):
    found = look(launcher_checks(f"toy-{name}"))
    assert (found.failed, found.skipped) == ({}, {})


def test_one_that_starts_processes_passes(look):
    found = look(launcher_checks("toy-Real"))
    assert (found.failed, found.skipped) == ({}, {})
