"""From what a user asked for to a checked tuning: the spec, the space, and what is tried first."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_compare.method_problems import MethodProblems
from kd_compare.plan import comparison_folder, with_shared_cache
from kd_compare.plan_checks import all_teachers
from kd_compare.planned_run import PlannedRun, planned_run
from kd_compare.tuning.default_search import default_search
from kd_compare.tuning.search import WHERE, Dimension, parse_dimension, split_search
from kdcore import Problem, UserError, validate
from kdcore.inspect import load_spec, read_values, resolved_dict
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kd_compare.tuning.settings import TuneSettings
    from kdcore.inspect import LoadedSpec

AUTO: Final = "auto"


@dataclass(frozen=True, kw_only=True)
class TuneBase:
    """The spec that is tuned.

    Attributes:
        spec: its file.
        overrides: `key.path=value`, for all runs.
        output: folder of the tuning's folder; None: the spec's.
        base: folder that relative paths in the spec are relative to; None: the file's.
        name: of the tuning's folder; None: `tune-` and the spec's name.
        place: folder in which the tuning's folder is made; None: the spec's output.
        shared: folder of the comparison that the tuning belongs to: they share the teacher cache. None: there is none.
    """

    spec: Path
    overrides: tuple[str, ...] = ()
    output: Path | None = None
    base: Path | None = None
    name: str | None = None
    place: Path | None = None
    shared: Path | None = None

    def load(self, more: Sequence[str] = ()) -> LoadedSpec:
        """The spec with more overrides.

        Raises:
            UserError: with every problem.
        """
        return load_spec(
            self.spec,
            overrides=(*self.overrides, *more),
            output=self.output,
            plugins=get_plugins(),
            base=self.base,
        )

    def folder(self, loaded: LoadedSpec) -> Path:
        """`OUTPUT/NAME`; raises UserError if the name cannot be that of a folder, or a run is there."""
        return comparison_folder(
            self.place or Path(loaded.spec.output), self.name or f"tune-{loaded.spec.name}"
        )


@dataclass(frozen=True, kw_only=True)
class TunePlan:
    """A tuning that is checked.

    Attributes:
        base: the spec that is tuned.
        loaded: that spec.
        folder: of the tuning.
        settings: decide which trials there are.
        teachers: are trained first.
        defaults: the spec's own values, if they lie in the space: the first trial has them.
        notes: what the user should know.
    """

    base: TuneBase
    loaded: LoadedSpec
    folder: Path
    settings: TuneSettings
    teachers: tuple[LoadedSpec, ...]
    defaults: dict[str, Any] | None
    notes: tuple[str, ...]

    def overrides(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The values of a trial as `key.path=value`."""
        return tuple(
            f"{path}={value if _is_json(value) else json.dumps(value)}" for path, value in params.items()
        )

    def run(self, number: int, params: Mapping[str, Any], seed: int) -> PlannedRun:
        """The run of a trial with one seed.

        Raises:
            UserError: these values do not go together.
        """
        # the test images are for the final comparison
        untested = () if self.loaded.spec.data.test_split is None else ("data.test_split=null",)
        loaded = with_shared_cache(
            self.base.load((*self.overrides(params), *untested)), self.base.shared or self.folder
        )
        return planned_run(f"trial-{number}", seed, loaded, self.folder)


def make_space(
    base: TuneBase, loaded: LoadedSpec, search: Sequence[str] | Mapping[str, Any]
) -> tuple[Dimension, ...]:
    """The search space: what was given, or that of the distillers' options. Both ends of each range are checked.

    Raises:
        UserError: with every problem of the space.
    """
    found, problems = list[Dimension](), list[Problem]()
    spec = resolved_dict(loaded)
    for path, value in search_parts(search):
        try:
            if path == AUTO:
                found += default_search(loaded)
            else:
                found.append(parse_dimension(path, value, _value_at(spec, path)))
        except UserError as error:
            problems += error.problems
    paths = [one.path for one in found]
    problems += [
        Problem(WHERE, "this value is searched twice", path)
        for path in sorted({p for p in paths if paths.count(p) > 1})
    ]
    if not found and not problems:
        message = "the distillers of this spec have no numbers to search"
        problems.append(
            Problem(WHERE, message, hint="give a range, such as --search optimizer.lr=log(1e-3..1)")
        )
    for one in found:
        for end in dict.fromkeys(map(json.dumps, one.ends())):
            try:
                base.load([f"{one.path}={end}"])
            except UserError as error:
                problems += [
                    replace(each, where=f"{WHERE} {one.path}: {each.where}") for each in error.problems
                ]
    if problems:
        raise UserError(list(dict.fromkeys(problems)))
    return tuple(found)


def check_spec(base: TuneBase, loaded: LoadedSpec) -> tuple[tuple[LoadedSpec, ...], tuple[str, ...]]:
    """Build the models on the meta device; returns the teachers that are trained first, and notes.

    Raises:
        UserError: with every problem.
    """
    problems = MethodProblems(("spec",))
    notes = tuple(dict.fromkeys(validate(loaded).warnings))
    teachers = all_teachers({"spec": loaded}, problems)
    problems.check()
    return teachers, notes


def spec_values(loaded: LoadedSpec, space: Sequence[Dimension]) -> dict[str, Any] | None:
    """The spec's own values of the space; None if one of them is not in it."""
    spec, found = resolved_dict(loaded), dict[str, Any]()
    for one in space:
        value = _value_at(spec, one.path)
        if one.kind == "choice":
            if value not in one.choices:
                return None
            found[one.path] = value if isinstance(value, str | int | float | None) else json.dumps(value)
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not one.low <= value <= one.high:
            return None
        if one.step is not None and (value - one.low) % one.step:
            return None
        found[one.path] = one.number(value)
    return found


def search_parts(search: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Places in the spec and what is searched there; the place `auto` is for the distillers' options.

    Raises:
        UserError: a text has another form, or a file cannot be read.
    """
    if not search:
        return [(AUTO, None)]
    if not isinstance(search, str) and hasattr(search, "items"):
        return list(search.items())
    found = list[tuple[str, Any]]()
    for text in search:
        if text == AUTO:
            found.append((AUTO, None))
        elif text.endswith(".toml") and "=" not in text:
            values, wrong = read_values(Path(text))
            if wrong:
                raise UserError(wrong)
            table = values.get("search", values)
            if not isinstance(table, dict):
                raise UserError(Problem(text, "'search' must be a table of places and ranges"))
            found += table.items()
        else:
            found.append(split_search(text))
    return found


def _value_at(spec: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(spec, dict):
            spec = spec.get(step)
        elif isinstance(spec, list) and step.isdecimal() and int(step) < len(spec):
            spec = spec[int(step)]
        else:
            return None
    return spec


def _is_json(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("[", "{")
