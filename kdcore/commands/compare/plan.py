"""From what the user said to the runs of a comparison, all of them checked before anything is trained."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.commands.compare.halving import Budget, parse_budget
from kdcore.commands.compare.request import ALL, Variant
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.run.existing import finished_run, spec_changes
from kdcore.rundir.directory import SPEC, RunDirectory
from kdcore.spec.files import find_file, read_file
from kdcore.spec.json_values import plain
from kdcore.spec.load import LoadedSpec, load_spec, resolved_dict
from kdcore.spec.overrides import Overrides
from kdcore.spec.value_sources import Origins

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kdcore.commands.compare.request import Request
    from kdcore.plugins import Plugins

VANILLA: Final = "vanilla"
_OWN_FOLDER: Final = "teacher-cache"
_RUN_NAME: Final = 128
_LONGEST_END: Final = len(f"-seed{2**63}")


@dataclass(frozen=True)
class Run:
    """One method with one seed."""

    label: str
    seed: int
    loaded: LoadedSpec

    @property
    def directory(self) -> RunDirectory:
        """Where it leaves its things."""
        return self.loaded.directory

    @property
    def name(self) -> str:
        """For messages and files."""
        return self.loaded.spec.name


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison.

    Attributes:
        folder: `OUTPUT/NAME`.
        labels: the methods, in the order of the table.
        seeds: of each method.
        runs: of every method and seed.
        teachers: to be trained first; those of teachers before those of students.
        baseline: the method that gains are measured from; None: there is none.
        budget: None: no method is dropped.
        notes: what the user should know.
    """

    folder: Path
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    teachers: tuple[LoadedSpec, ...]
    baseline: str | None
    budget: Budget | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the comparison."""
        return self.folder.name

    def of(self, label: str) -> list[Run]:
        """The runs of a method."""
        return [run for run in self.runs if run.label == label]


class Problems:
    """Gathers what is wrong with which method; the same with several is told once."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._found: dict[str, tuple[Problem, list[str]]] = {}

    def add(self, label: str, problems: Iterable[Problem]) -> None:
        """Remember problems of one method."""
        for problem in problems:
            _, labels = self._found.setdefault(str(problem), (problem, []))
            if label not in labels:
                labels.append(label)

    def check(self) -> None:
        """Raise UserError where something was found."""
        told = [
            problem if len(labels) == len(self._labels) else _of(problem, labels)
            for problem, labels in self._found.values()
            if labels
        ]
        if told:
            raise UserError(told)


def make_plan(request: Request, plugins: Plugins) -> Plan:
    """Load and check every run; the models are built without memory, so that this takes a second for each method.

    Raises:
        UserError: with every problem that was found.
    """
    variants = _variants(request, plugins)
    bases = _load_bases(request, plugins)
    labels = _labels(variants, bases)
    folder = _folder(request, bases)
    problems, loaded = Problems(labels), dict[str, LoadedSpec]()
    for label, variant in zip(labels, variants, strict=True):
        try:
            loaded[label] = _load(request, variant, folder, plugins)
        except UserError as error:
            problems.add(label, error.problems)
    problems.check()
    notes = _preflight(request, loaded, problems, plugins)
    problems.check()
    baseline = _baseline(request, loaded)
    runs = tuple(_run(label, seed, one, folder) for label, one in loaded.items() for seed in request.seeds)
    teachers = _teachers(loaded, problems)
    _compare_with_what_is_there(runs, teachers, problems, folder)
    problems.check()
    return Plan(
        folder=folder,
        labels=tuple(loaded),
        seeds=request.seeds,
        runs=runs,
        teachers=teachers,
        baseline=baseline,
        budget=_budget(request, loaded),
        notes=tuple(dict.fromkeys(notes)),
    )


# -- which methods -------------------------------------------------------------------------------------------


def _variants(request: Request, plugins: Plugins) -> list[Variant]:
    base = request.specs[0]
    if len(request.specs) > 1:
        if request.distillers is not None:
            message = "with several specs each says its own distiller"
            raise UserError(Problem("--distillers", message, ",".join(request.distillers)))
        return [Variant(None, path) for path in request.specs]
    own = _own_distiller(base, request.overrides)
    found = list(request.variants)
    if request.distillers is not None:
        names = [name for name in request.distillers if name]
        found += [_named(name, base, own) for name in _chosen(names, plugins)]
    elif not request.variants:
        found.append(Variant(None, base))
        if isinstance(own, str | dict) and _name(own) == VANILLA:
            return found
    labels = {variant.label or variant.distiller for variant in found}
    if request.baseline is None and VANILLA not in labels:
        found.insert(0, _named(VANILLA, base, own))
    return found


def _chosen(names: Sequence[str], plugins: Plugins) -> list[str]:
    if list(names) == [ALL]:
        items = plugins.distillers()
        several = [item.entry.name for item in items]
        return [
            item.entry.name if several.count(item.entry.name) == 1 else item.qualified
            for item in sorted(items, key=lambda item: item.entry.name != VANILLA)
        ]
    problems: list[Problem] = []
    for name in names:
        try:
            plugins.distiller(name, "--distillers")
        except UserError as error:
            problems += error.problems
    if not names:
        problems.append(Problem("--distillers", "no distiller is named", allowed="names, or all"))
    if problems:
        raise UserError(problems)
    return list(dict.fromkeys(names))


def _named(name: str, spec: Path, own: Any) -> Variant:
    """A distiller by its name; the one of the spec keeps the options that it has there."""
    chosen = own if _name(own) == name else name
    return Variant(None, spec, (f"distiller={json.dumps(chosen)}",), name)


def _own_distiller(path: Path, overrides: Sequence[str]) -> Any:
    label = str(path)
    raw, _ = plain(read_file(find_file(path, label), label))
    Overrides(overrides, Origins()).apply(raw)
    return raw.get("distiller")


def _name(distiller: Any) -> str | None:
    name = distiller.get("name") if isinstance(distiller, dict) else distiller
    return name if isinstance(name, str) else None


def _labels(variants: Sequence[Variant], bases: dict[Path, LoadedSpec]) -> list[str]:
    several = len({variant.spec for variant in variants}) > 1
    labels: list[str] = []
    for variant in variants:
        base = bases[variant.spec]
        own = "+".join(item.name for item in base.spec.distiller)
        labels.append(variant.label or variant.distiller or (base.spec.name if several else own))
    names = [_slug(label) for label in labels]
    twice = sorted({label for label in labels if names.count(_slug(label)) > 1})
    if twice:
        hint = "give the specs another 'name', or the variants another 'label'"
        message = "two methods of the comparison have this name"
        raise UserError(Problem("name", message, label, hint=hint) for label in twice)
    return labels


def _baseline(request: Request, loaded: dict[str, LoadedSpec]) -> str | None:
    if request.baseline is not None:
        if request.baseline not in loaded:
            raise UserError(
                Problem(
                    "--baseline",
                    "no method of the comparison has this name",
                    request.baseline,
                    listed(loaded),
                    nearest(request.baseline, loaded),
                )
            )
        return request.baseline
    alone = [label for label, one in loaded.items() if [item.name for item in one.distillers] == [VANILLA]]
    return VANILLA if VANILLA in alone else alone[0] if len(alone) == 1 else None


# -- their specs ---------------------------------------------------------------------------------------------


def _load_bases(request: Request, plugins: Plugins) -> dict[Path, LoadedSpec]:
    """The specs as they are: what is wrong with one is told before it is told of every method."""
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
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UserError(
            Problem("--name", "this is no name for a folder", name, "letters, digits, '_', '.' and '-'")
        )
    folder = Path(base.output) / name
    if (folder / SPEC).exists():
        hint = "another --name for the comparison"
        raise UserError(Problem("--name", f"{folder} is the directory of a run", name, hint=hint))
    return folder


def _load(request: Request, variant: Variant, folder: Path, plugins: Plugins) -> LoadedSpec:
    overrides = (*request.overrides, *variant.overrides)
    loaded = load_spec(
        variant.spec, overrides=overrides, output=request.output, plugins=plugins, base=request.base
    )
    cache = loaded.spec.teacher_cache
    if cache is None:
        return loaded
    if all(item.provided.entry.kind == "baseline" for item in loaded.distillers):
        cache = None  # nobody reads the teacher
    elif cache.folder is None:
        cache = cache.model_copy(update={"folder": str(folder / _OWN_FOLDER)})
    return replace(loaded, spec=loaded.spec.model_copy(update={"teacher_cache": cache}))


def _run(label: str, seed: int, loaded: LoadedSpec, folder: Path) -> Run:
    name = f"{_slug(label)}-seed{seed}"
    settled: dict[str, Any] = {"name": name, "seed": seed, "output": str(folder / "runs")}
    if loaded.teacher is not None and loaded.spec.teacher is not None:
        # a file of the comparison's own: its output is the one that was asked for, and nobody edits it meanwhile
        settled["teacher"] = loaded.spec.teacher.model_copy(
            update={"run": str(spec_path(folder, f"teacher-{loaded.teacher.spec.name}"))}
        )
    return Run(label, seed, replace(loaded, spec=loaded.spec.model_copy(update=settled)))


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", label).lstrip("_.-")[: _RUN_NAME - _LONGEST_END] or "method"


def spec_path(folder: Path, name: str) -> Path:
    """The comparison's own file of a run's or a teacher's spec."""
    return folder / "specs" / f"{name}.json"


def _preflight(
    request: Request, loaded: dict[str, LoadedSpec], problems: Problems, plugins: Plugins
) -> list[str]:
    """Build each method's models on the meta device; of `all` distillers those that cannot work here are left out."""
    from kdcore.run.preflight import check

    notes, left_out = list[str](), list[tuple[str, UserError]]()
    for label, one in list(loaded.items()):
        try:
            notes += check(one, plugins).warnings
        except UserError as error:
            if request.distillers == (ALL,) and label != VANILLA:
                left_out.append((label, error))
                del loaded[label]
            else:
                problems.add(label, error.problems)
    if not loaded.keys() - {VANILLA}:  # then it is no method's fault
        for label, refused in left_out:
            problems.add(label, refused.problems)
    return notes + [f"{label} is left out: {refused.problems[0]}" for label, refused in left_out]


def _teachers(loaded: dict[str, LoadedSpec], problems: Problems) -> tuple[LoadedSpec, ...]:
    found = dict[Path, tuple[LoadedSpec, dict[str, Any]]]()
    for label, one in loaded.items():
        chain, below = list[LoadedSpec](), one.teacher
        while below is not None:
            chain.append(below)
            below = below.teacher
        for teacher in reversed(chain):
            path, content = teacher.directory.path, resolved_dict(teacher)
            _, known = found.setdefault(path, (teacher, content))
            problems.add(label, _differences(f"teacher.run ({teacher.spec.name})", path, known, content))
    return tuple(teacher for teacher, _ in found.values())


def _differences(
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


def _compare_with_what_is_there(
    runs: Sequence[Run], teachers: Sequence[LoadedSpec], problems: Problems, folder: Path
) -> None:
    hint = "another --name keeps the comparison that is there; deleting its folder starts over"
    for run in runs:
        if run.directory.exists:
            known, now = run.directory.spec(), resolved_dict(run.loaded)
            problems.add(run.label, _differences("", folder, known, now, hint))
    for teacher in teachers:
        try:
            finished_run(teacher, "auto")
        except UserError as error:
            for label in dict.fromkeys(run.label for run in runs):
                problems.add(
                    label,
                    (replace(problem, where=f"teacher.run: {problem.where}") for problem in error.problems),
                )


def _budget(request: Request, loaded: dict[str, LoadedSpec]) -> Budget | None:
    if request.budget is None:
        return None
    epochs = {one.spec.train.epochs for one in loaded.values()}
    if len(epochs) > 1:
        message = "a budget judges all methods after the same epochs, and they have different train.epochs"
        raise UserError(Problem("--budget", message, request.budget, hint=f"train.epochs: {sorted(epochs)}"))
    return parse_budget(request.budget, request.eta, epochs=epochs.pop(), methods=len(loaded))


def _of(problem: Problem, labels: Sequence[str]) -> Problem:
    return replace(problem, where=f"{', '.join(labels)}: {problem.where}")
