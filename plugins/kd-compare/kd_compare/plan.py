"""From a request to the runs of a comparison, all of them checked before anything is trained."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_compare.halving import Budget, parse_budget
from kd_compare.method_problems import MethodProblems
from kd_compare.methods import chosen_baseline, is_baseline, labelled_methods
from kd_compare.plan_checks import all_teachers, check_existing, check_models
from kd_compare.planned_run import PlannedRun, planned_run
from kdcore import Problem, RunDirectory, UserError
from kdcore.inspect import LoadedSpec, load_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kd_compare.request import Request, Variant
    from kdcore.plugin import Plugins

_OWN_FOLDER: Final = "teacher-cache"


@dataclass(frozen=True, kw_only=True)
class ComparisonPlan:
    """All runs of a comparison.

    Attributes:
        folder: `OUTPUT/NAME`.
        labels: of the methods, in the order of the table.
        seeds: of each method.
        runs: of every method and seed.
        teachers: are trained first, a teacher's own teacher before it.
        baseline: label of the method that gains are relative to; None: there is no baseline.
        budget: None: no method is dropped.
        notes: what the user should know.
        metric: what methods are ranked by, `train.metric` of all specs; None: they have none.
        variants: by label, what was asked for.
        reports: whether each finished run gets a report.
        tuned: what the tunings of the methods have found; None: they were not tuned.
    """

    folder: Path
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]
    teachers: tuple[LoadedSpec, ...]
    baseline: str | None
    budget: Budget | None
    notes: tuple[str, ...]
    metric: str | None = None
    variants: Mapping[str, Variant] = field(default_factory=dict)
    tuned: Mapping[str, Any] | None = None
    reports: bool = False

    @property
    def name(self) -> str:
        """The name of the comparison."""
        return self.folder.name

    def of(self, label: str) -> list[PlannedRun]:
        """The runs of a method."""
        return [run for run in self.runs if run.label == label]


def make_plan(
    request: Request,
    plugins: Plugins,
    tuned: Mapping[str, Sequence[str]] | None = None,
    *,
    existing: bool = True,
) -> ComparisonPlan:
    """Load and check every run. Models are built on the meta device: this takes about a second for each method.

    Args:
        request: what was asked for.
        plugins: the installed ones.
        tuned: by label, `key.path=value` that a tuning has found for the method.
        existing: whether to compare the runs with those that are in the folder already.

    Raises:
        UserError: with every problem that was found.
    """
    bases = _load_bases(request, plugins)
    methods = labelled_methods(request, bases, plugins)
    methods = {
        label: replace(variant, overrides=(*variant.overrides, *(tuned or {}).get(label, ())))
        for label, variant in methods.items()
    }
    folder = _folder(request, bases)
    problems, loaded = MethodProblems(list(methods)), dict[str, LoadedSpec]()
    for label, variant in methods.items():
        try:
            loaded[label] = _load(request, variant, folder, plugins)
        except UserError as error:
            problems.add(label, error.problems)
    problems.check()
    notes = check_models(request, loaded, problems)
    problems.check()
    baseline = chosen_baseline(request, loaded, plugins)
    runs = tuple(
        planned_run(label, seed, one, folder) for label, one in loaded.items() for seed in request.seeds
    )
    teachers = all_teachers(loaded, problems)
    if existing:
        check_existing(runs, teachers, problems, folder)
    problems.check()
    return ComparisonPlan(
        folder=folder,
        labels=tuple(loaded),
        seeds=request.seeds,
        runs=runs,
        teachers=teachers,
        baseline=baseline,
        budget=_budget(request, loaded),
        notes=tuple(dict.fromkeys(notes)),
        metric=_metric(loaded),
        reports=request.reports,
        variants={label: one for label, one in methods.items() if label in loaded},
    )


def _load_bases(request: Request, plugins: Plugins) -> dict[Path, LoadedSpec]:
    """The specs without changes: a problem of a spec is reported once, not once for each method."""
    found, problems = dict[Path, LoadedSpec](), list[Problem]()
    for path in request.specs:
        try:
            found[path] = load_spec(
                path, overrides=request.overrides, output=request.output, plugins=plugins, base=request.base
            )
        except UserError as error:
            several = len(request.specs) > 1
            problems += [
                replace(problem, where=f"{path}: {problem.where}") if several else problem
                for problem in error.problems
            ]
    if problems:
        raise UserError(problems)
    return found


def _folder(request: Request, bases: dict[Path, LoadedSpec]) -> Path:
    first = request.specs[0]
    base = bases[first].spec
    name = request.name or (f"compare-{base.name}" if len(request.specs) == 1 else "comparison")
    if request.name is None and request.tuned is not None:
        name += "-tuned"
    return comparison_folder(request.folder or Path(base.output), name)


def comparison_folder(output: Path, name: str) -> Path:
    """The folder of a comparison or a tuning.

    Raises:
        UserError: the name cannot be that of a folder, or a run is there.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UserError(
            Problem(
                "--name", "this cannot be the name of a folder", name, "letters, digits, '_', '.' and '-'"
            )
        )
    folder = output / name
    if RunDirectory(folder).exists:
        hint = "use another --name"
        raise UserError(Problem("--name", f"{folder} is the directory of a run", name, hint=hint))
    return folder


def _load(request: Request, variant: Variant, folder: Path, plugins: Plugins) -> LoadedSpec:
    overrides = (*request.overrides, *variant.overrides)
    loaded = load_spec(
        variant.spec, overrides=overrides, output=request.output, plugins=plugins, base=request.base
    )
    return with_shared_cache(loaded, folder)


def with_shared_cache(loaded: LoadedSpec, folder: Path) -> LoadedSpec:
    """The spec with the teacher cache of the comparison, if it asks for a cache and does not say where."""
    cache = loaded.spec.teacher_cache
    if cache is None:
        return loaded
    if is_baseline(loaded):
        cache = None
    elif cache.folder is None:
        cache = cache.model_copy(update={"folder": str(folder / _OWN_FOLDER)})
    return replace(loaded, spec=loaded.spec.model_copy(update={"teacher_cache": cache}))


def _metric(loaded: dict[str, LoadedSpec]) -> str | None:
    """The `train.metric` of all methods.

    Raises:
        UserError: they have different ones.
    """
    metrics = {one.spec.train.metric for one in loaded.values()}
    if len(metrics) > 1:
        message = "the methods are ranked by one measure, and their specs have different ones"
        hint = "--set train.metric=NAME sets it for all"
        raise UserError(Problem("train.metric", message, sorted(map(str, metrics)), hint=hint))
    return metrics.pop()


def _budget(request: Request, loaded: dict[str, LoadedSpec]) -> Budget | None:
    if request.budget is None:
        return None
    epochs = {one.spec.train.epochs for one in loaded.values()}
    if len(epochs) > 1:
        message = "a budget judges all methods after the same epochs, and they have different train.epochs"
        raise UserError(Problem("--budget", message, request.budget, hint=f"train.epochs: {sorted(epochs)}"))
    return parse_budget(request.budget, request.eta, epochs=epochs.pop(), methods=len(loaded))
