"""Each check of commands, recipes, exporters, ... fails for the one that breaks its rule, and all others pass."""

from __future__ import annotations

import re

import pytest
from kd_dev.testing import (
    ConformanceError,
    check_metric,
    command_checks,
    exporter_checks,
    metric_checks,
    recipe_checks,
    section_checks,
    transform_checks,
)
from kd_dev.testing.rules import RULES
from kd_dev.testing.sections import foreign

from kdcore import UserError

CHECKS = {
    "command": command_checks,
    "exporter": exporter_checks,
    "metric": metric_checks,
    "recipe": recipe_checks,
    "report section": section_checks,
    "transform": transform_checks,
}
# by kind and check: what breaks it, and what the message says
BREAKS = {
    "command": {
        "declaration": ("refused", "commands:refused cannot be a command: .*Union"),
        "help": ("helpless", "'kd toy-helpless --help' raised NoSuchOption"),
        "help_texts": ("undocumented", "there is no help text for (name|NAME) of 'kd toy-undocumented'"),
        "light": ("heavy", "importing kd_broken.heavy_command imports numpy"),
    },
    "recipe": {
        "file": ("misspelt", "spc"),
        "spec_is_valid": ("wrong-value", "train.epochs .*-7"),
        "distillers": ("wrong-options", "kd-broken/good: .*wait"),
    },
    "exporter": {
        "declaration": ("one_argument", "cannot be called with student, folder, about by position"),
        "requirements": ("misspelt", "'on nx' is not a requirement"),
        "files": ("absent", 'it names .*absent.bin", and the folder has sub/weights.npz'),
        "folder_only": ("elsewhere", "it wrote notes.txt outside of the folder"),
        "student_unchanged": ("changes_student", "after the export, the student's state: "),
        "loads_again": ("loads_zeros", r"the logits of the loaded export differ by up to [\d.]+"),
    },
    "metric": {
        "declaration": ("one_argument", "cannot be called with probabilities, targets by position"),
        "finite": ("infinite", "for 60 usual predictions of the task 'classes' it returned inf"),
        "one_sample": ("deviation", "it raised ValueError: at least two samples are needed"),
        "order": ("first", r"for the task 'classes' it is [\d.]+, and [\d.]+ in another order"),
        "arguments_unchanged": ("in_place", "for the task 'classes' it changed its argument probabilities"),
        "deterministic": ("counts", r"for the task 'classes' it returned [\d.]+, and then [\d.]+"),
    },
    "report section": {
        "declaration": ("no_argument", "cannot be called with run by position"),
        "returns_a_section": ("raises", "it raised AttributeError: 'NoneType' .* 'model'"),
        "self_contained": ("script", "figure 1 has '<script>alert"),
        "run_unchanged": ("writes", "it changed notes.txt in the run directory"),
        "deterministic": ("counts", "the second section differs from the first"),
    },
    "transform": {
        "declaration": ("NoOptions", "cannot be called with options by position"),
        "protocol": ("NoRebuild", "transforms:NoRebuild has no method 'rebuild'"),
        "trains": ("OtherClasses", r"for 2 images it gives \(2, 3\), not \(2, 5\)"),
        "rebuilds": ("Forgets", "fc.weight has other values"),
        "without_memory": ("ReadsValues", "it raised RuntimeError: .*meta"),
        "deterministic": ("Counts", "it gave two different records"),
    },
}
ALL = [(kind, id) for kind, table in BREAKS.items() for id in table]
# what cannot be looked at, once another rule is broken
BLOCKED = {
    ("command", "declaration"): 3,
    ("exporter", "declaration"): 4,
    ("exporter", "requirements"): 4,
    ("exporter", "files"): 1,
    ("recipe", "file"): 2,
    ("metric", "declaration"): 5,
    ("transform", "declaration"): 5,
    ("transform", "protocol"): 4,
    ("report section", "declaration"): 4,
    ("report section", "returns_a_section"): 3,
}


@pytest.fixture(autouse=True)
def installed(broken, tmp_path, monkeypatch):
    """The plugin, in a folder where its mistakes leave nothing behind."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", BREAKS)
def test_every_rule_has_somebody_who_breaks_it(kind):
    assert list(BREAKS[kind]) == [rule.id for rule in RULES[kind]]


@pytest.mark.parametrize(("kind", "id"), ALL)
def test_a_broken_rule_is_found_and_no_other(kind, id, look):
    name, message = BREAKS[kind][id]
    found = look(CHECKS[kind](f"toy-{name}"))
    assert set(found.failed) == {id}, found.failed
    assert f"toy-{name} breaks the rule {id}: " in found.failed[id]
    assert f"docs/conformance.md#{id}-{kind.replace(' ', '-')}" in found.failed[id]
    assert re.search(message, found.failed[id]), found.failed[id]
    if (kind, id) in BLOCKED:
        assert len(found.skipped) == BLOCKED[kind, id], found.skipped


@pytest.mark.parametrize(
    ("kind", "name", "skipped"),
    [
        ("command", "good", set()),
        ("command", "group", set()),
        ("exporter", "good", {"loads_again"}),
        ("exporter", "with_load", set()),
        ("exporter", "in_forms", set()),
        ("exporter", "elsewhere-only", {"loads_again"}),
        ("exporter", "missing", {"files", "folder_only", "student_unchanged", "loads_again"}),
        ("metric", "good", set()),
        ("recipe", "good", set()),
        ("recipe", "plain", {"distillers"}),
        ("recipe", "no-task", set()),
        ("transform", "Good", set()),
        ("report section", "good", set()),
        ("report section", "silent", {"self_contained", "run_unchanged", "deterministic"}),
    ],
)
def test_good_ones_pass(kind, name, skipped, look):
    found = look(CHECKS[kind](f"kd-broken/toy-{name}"))
    assert found.failed == {}
    assert set(found.skipped) == skipped


@pytest.mark.parametrize(
    ("kind", "name", "id", "message"),
    [
        ("exporter", "refuses", "files", "--to: this network is too small"),
        (
            "exporter",
            "undeclared-forms",
            "declaration",
            "cannot be called with student, folder, about by position and int8, fp16 by name",
        ),
        ("exporter", "raises_in_int8", "files", "with int8=True, it raised ValueError: no ranges"),
        (
            "exporter",
            "other_logits_in_fp16",
            "loads_again",
            "with fp16=True, the logits of the loaded export",
        ),
        ("exporter", "returns_text", "files", "it returned str, not the paths of its files"),
        ("exporter", "in_the_run", "folder_only", "it changed export.log in the run directory"),
        ("exporter", "changes_about", "student_unchanged", "it changed its argument about"),
        ("recipe", "absent", "file", "absent.toml"),
        ("metric", "text", "finite", "for the task 'classes' it returned str, not a number"),
        ("metric", "vector", "finite", r"it returned a tensor of shape \[3\], not a number"),
        ("metric", "absent", "declaration", "kd_broken.metrics:absent, cannot be loaded"),
        ("transform", "ReturnsModel", "trains", r"apply\(\) returned ResNet, not kdcore.Transformed"),
        ("transform", "NotJson", "rebuilds", "its record is not JSON"),
        ("transform", "ForgetsLayer", "rebuilds", "in evaluation, the two students give other logits"),
        ("transform", "ForgetsDropout", "rebuilds", "in training, the two students give other logits"),
        ("transform", "OtherSlope", "deterministic", "in evaluation, the two students give other logits"),
        ("transform", "Unused", "trains", "unused gets no gradient"),
        ("transform", "Frozen", "trains", "no parameter has requires_grad"),
        ("transform", "ChecksNothing", "protocol", "check_training cannot be called with setup by position"),
        (
            "report section",
            "returns_text",
            "returns_a_section",
            "it returned str, not kdcore.ReportSection or None",
        ),
    ],
)
def test_other_ways_to_break_a_rule(kind, name, id, message, look):
    found = look(CHECKS[kind](f"toy-{name}"))
    assert re.search(message, found.failed[id]), found.failed


@pytest.mark.parametrize(
    "figure",
    [
        '<p style="background:url(https://example.org/a.png)">',
        '<p style="background:url( &quot;//example.org/a.png&quot; )">',
        "<style>p { background: url('a.png') }</style>",
        "<style>@import 'https://example.org/a.css';</style>",
        "<style>@import url(https://example.org/a.css);</style>",
        "<svg onload=alert(1)>",
        "<svg/onload=alert(1)>",
        f'<img src="data:image/png;base64,{"A" * 999}"onerror=alert(1)>',
        '<object data="https://example.org/a.svg"></object>',
        "<object data=a.svg></object>",
        '<img srcset="https://example.org/a.png 2x">',
        '<video poster="https://example.org/a.png">',
        '<img src="https://example.org/a.png">',
    ],
)
def test_what_is_not_self_contained(figure):
    found = foreign(f"<p>before</p>{figure}<p>after</p>")
    assert found
    assert len(found) <= 80


@pytest.mark.parametrize(
    "figure",
    [
        '<p style="background: url(data:image/png;base64,AAAA)">',
        """<style>p { background: url("data:image/png;base64,AAAA") }</style>""",
        '<g clip-path="url(#a)"><use href="#b"/><g clip-path="url( \'#c\' )"/></g>',
        '<img src="data:image/png;base64,AAAA" srcset="data:image/png;base64,AAAA 2x" alt="one, only">',
        '<object data="data:image/svg+xml,AAAA"></object>',
        '<td data-value="3" data-data="a">',
        "<figcaption>for one = 2, only = 3; confusion=4, on = 5</figcaption>",
        '<line stroke="var(--one)"/>',
    ],
)
def test_what_is_self_contained(figure):
    assert foreign(figure) is None


def test_what_is_not_there():
    for checks in CHECKS.values():
        with pytest.raises(UserError, match="no-such-thing"):
            checks("no-such-thing")


def test_all_at_once():
    check_metric("toy-good")
    with pytest.raises(ConformanceError, match="toy-infinite breaks the rule finite"):
        check_metric("toy-infinite")
    check_metric("toy-infinite", expected_failures={"finite": "on purpose"})
