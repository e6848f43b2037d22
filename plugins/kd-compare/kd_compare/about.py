"""What each method of a comparison is: its data, models, options, tuning and runs, from the files of its runs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as url

from kd_report.reports.facts import (
    Facts,
    Rows,
    data_rows,
    distiller_facts,
    model_rows,
    training_rows,
    value_text,
)

from kd_compare.planned_run import spec_path
from kdcore import KdError, RunDirectory
from kdcore.inspect import is_percent, main_measure, measure_label

if TYPE_CHECKING:
    from kd_compare.result import ComparisonResult, MethodRow, RunRow
    from kdcore.plugin import Plugins


@dataclass(frozen=True)
class Group:
    """Facts under a title; `class_` is the CSS class of the title, `note` a sentence above the rows."""

    title: str
    rows: Rows
    class_: str = ""
    note: str = ""


@dataclass(frozen=True)
class RunLink:
    """A run of a method.

    Attributes:
        seed: its seed.
        state: its score, or what became of it.
        link: to its report, relative to the comparison's page; None: there is no report.
        command: makes the report, in the comparison's folder; None: it is there, or the run is not finished.
    """

    seed: int
    state: str
    link: str | None
    command: str | None


@dataclass(frozen=True)
class MethodAbout:
    """What a method is."""

    groups: list[Group]
    runs: list[RunLink]


def about_method(result: ComparisonResult, row: MethodRow, plugins: Plugins) -> MethodAbout:
    """What a method is, as the page says it; a method whose specs are not in the folder has its runs alone."""
    own = [run for run in result.runs if run.method == row.label]
    facts = _facts(result, own)
    groups = [] if facts is None else _groups(facts, plugins)
    if result.tuned is not None and row.label in result.tuned["methods"]:
        groups.append(_tuning(result.tuned, result.tuned["methods"][row.label]))
    return MethodAbout(groups, [_link(result, run) for run in own])


def _facts(result: ComparisonResult, runs: list[RunRow]) -> Facts | None:
    """The spec that all runs share except for the seed, and the summary of a finished one if there is one."""
    for run in sorted(runs, key=lambda run: run.status != "finished"):
        directory = RunDirectory(Path(run.directory))
        try:
            spec: dict[str, Any] = json.loads(
                spec_path(result.directory, directory.name).read_text(encoding="utf-8")
            )
            summary = directory.summary()
        except (OSError, ValueError, KdError):  # damaged or gone: nothing is said of this run
            continue
        return Facts(directory, spec, summary or {}, [], {})
    return None


def _groups(facts: Facts, plugins: Plugins) -> list[Group]:
    groups = [
        Group("Data", data_rows(facts)),
        Group("Training", [one for one in training_rows(facts) if one[0] != "seed"]),
        Group("Student", model_rows(facts.student, facts.part("student")), "student"),
    ]
    if not facts.summary or facts.teachers:  # a run without a teacher may name one in its spec
        for label, given in facts.teacher_specs.items():
            about = facts.teachers.get(label, {})
            rows = [*model_rows(about, given), *_measured(about)]
            groups.append(Group(label.capitalize(), rows, "teacher"))
    for item in distiller_facts(facts, plugins):
        groups.append(Group(f"Distiller: {item.name}", item.options, note=item.summary))
    return groups


def _measured(teacher: dict[str, Any]) -> Rows:
    """A teacher's score on the evaluation images."""
    name = main_measure(teacher)
    value = teacher.get(name) if name else None
    if name is None or value is None:
        return []
    return [(measure_label(name), f"{value:.2f}{' %' if is_percent(name) else ''}")]


def _tuning(tuned: dict[str, Any], found: dict[str, Any] | None) -> Group:
    if found is None:
        return Group("Tuning", [], note="It was not tuned: its options have no numbers to search.")
    values = [(path, value_text(value)) for path, value in found["values"].items()]
    own = [] if found["own_score"] is None else [("with its own values", f"{found['own_score']:.2f}")]
    budget = [
        ("trials", str(tuned["trials"])),
        ("sampler", f"{tuned['sampler']}, seed {tuned['sampler_seed']}"),
    ]
    return Group("Tuning", [*budget, *values, ("score of the trial", f"{found['score']:.2f}"), *own])


def _link(result: ComparisonResult, run: RunRow) -> RunLink:
    score = run.value(result.metric)
    unit = " %" if is_percent(result.metric) else ""
    finished = run.status == "finished" and score is not None
    link = None if run.report is None else _relative(run.report, result.directory)
    makes = run.status == "finished" and link is None
    return RunLink(
        seed=run.seed,
        state=f"{score:.2f}{unit}" if finished else run.status,
        link=None if link is None else url(link),
        command=f"kd report {quote(_relative(run.directory, result.directory))}" if makes else None,
    )


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
