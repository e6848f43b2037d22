"""Checks of all methods before anything is trained: models, teachers, and runs that exist already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd_compare.methods import is_baseline
from kd_compare.request import ALL
from kdcore import Problem, UserError, validate
from kdcore.inspect import LoadedSpec, below_of, finished_run, resolved_dict, spec_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_compare.method_problems import MethodProblems
    from kd_compare.planned_run import PlannedRun
    from kd_compare.request import Request


def check_models(request: Request, loaded: dict[str, LoadedSpec], problems: MethodProblems) -> list[str]:
    """Build the models of each method on the meta device; returns notes.

    If all distillers are compared, those that do not work with these models are removed from `loaded`.
    """
    notes, left_out = list[str](), list[tuple[str, UserError]]()
    for label, one in list(loaded.items()):
        try:
            notes += validate(one).warnings
        except UserError as error:
            if request.distillers == (ALL,) and not is_baseline(one):
                left_out.append((label, error))
                del loaded[label]
            else:
                problems.add(label, error.problems)
    if all(map(is_baseline, loaded.values())):  # then the cause is not a method
        for label, refused in left_out:
            problems.add(label, refused.problems)
    return notes + [f"{label} is left out: {refused.problems[0]}" for label, refused in left_out]


def all_teachers(loaded: dict[str, LoadedSpec], problems: MethodProblems) -> tuple[LoadedSpec, ...]:
    """The teachers of all methods, each once; problems if different teachers have the same directory or name."""
    found = dict[Path, tuple[LoadedSpec, dict[str, Any]]]()
    by_name = dict[str, Path]()
    for label, one in loaded.items():
        for teacher in reversed(list(below_of(one))):
            path, content = teacher.directory.path, resolved_dict(teacher)
            _, known = found.setdefault(path, (teacher, content))
            problems.add(label, _changes(f"teacher.run ({teacher.spec.name})", path, known, content))
            first = by_name.setdefault(teacher.spec.name, path)
            if first != path:  # their specs, logs and jobs are known by the name alone
                problems.add(label, [_same_name(teacher.spec.name, first, path)])
    return tuple(teacher for teacher, _ in found.values())


def _same_name(name: str, first: Path, second: Path) -> Problem:
    message = f"two teachers have this name: the runs in {first} and in {second}"
    hint = (
        "give one of the two specs another 'name', or name a finished run as 'checkpoint' in place of 'run'"
    )
    return Problem("teacher.run", message, name, hint=hint)


def _changes(
    where: str, path: Path, known: dict[str, Any], now: dict[str, Any], hint: str | None = None
) -> list[Problem]:
    longer = [("train.epochs", (known.get("train") or {}).get("epochs"), now["train"]["epochs"])]
    changes = spec_changes(known, now) or [change for change in longer if change[1] != change[2]]
    return [
        Problem(
            f"{where}: {place}" if where else place,
            f"{path} has another value: {before!r} there, {here!r} here",
            hint=hint,
        )
        for place, before, here in changes
    ]


def check_existing(
    runs: Sequence[PlannedRun], teachers: Sequence[LoadedSpec], problems: MethodProblems, folder: Path
) -> None:
    """Check that runs which exist already have the same spec."""
    hint = "use another --name to keep the existing comparison, or delete its folder to start over"
    for run in runs:
        if run.directory.exists:
            known, now = run.directory.spec(), resolved_dict(run.loaded)
            problems.add(run.label, _changes("", folder, known, now, hint))
    for teacher in teachers:
        try:
            finished_run(teacher, "auto")
        except UserError as error:
            for label in dict.fromkeys(run.label for run in runs):
                problems.add(
                    label,
                    (replace(problem, where=f"teacher.run: {problem.where}") for problem in error.problems),
                )
