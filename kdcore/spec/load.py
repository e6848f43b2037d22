"""Loading a run spec: from its file, or from Python, to one in which all names and files are known to exist."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError
from kdcore.rundir.directory import RunDirectory
from kdcore.spec.check import Checker
from kdcore.spec.files import RUN_SPEC, find_file, read_file
from kdcore.spec.json_values import plain
from kdcore.spec.loaded import LoadedSpec, ResolvedDistiller
from kdcore.spec.models import RunSpec
from kdcore.spec.overrides import Overrides
from kdcore.spec.recipe import with_recipe
from kdcore.spec.schema import spec_schema
from kdcore.spec.validation import Mended
from kdcore.spec.value_sources import Origins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kdcore.plugins import Plugins

__all__ = [
    "LoadedSpec",
    "ResolvedDistiller",
    "load_dict",
    "load_spec",
    "resolve",
    "resolved_dict",
    "spec_schema",
]

_EDITOR_KEY: Final = "$schema"  # by which a JSON file gives editors its schema
_NAME_LENGTH: Final = 128


def load_spec(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    plugins: Plugins | None = None,
    base: Path | None = None,
) -> LoadedSpec:
    """Read and check a spec, and the spec of its teacher's run.

    Args:
        path: the file, or a run directory.
        overrides: what `--set` gives, `key.path=value`.
        output: folder of the run directories instead of the spec's; the teacher's run is there too.
        plugins: where names are looked up; None for those that are installed.
        base: folder that the file's relative paths are relative to; None: the file's own.

    Raises:
        UserError: with every problem that was found.
    """
    loader = _Loader(_installed(plugins), output)
    label = str(path)
    loaded, problems = loader.load(find_file(Path(path), label), label, overrides, (), base)
    if loaded is None or problems:
        raise UserError(problems)
    return loaded


def load_dict(
    spec: Mapping[str, Any],
    *,
    base: Path,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    plugins: Plugins | None = None,
) -> LoadedSpec:
    """Check a spec that is given as a dict of what a file would hold; the rest is as for `load_spec`.

    Relative paths are as seen from the folder `base`; without a `name` the run is called `run`.

    Raises:
        UserError: with every problem that was found.
    """
    loader = _Loader(_installed(plugins), output)
    loaded, problems = loader.check(dict(spec), "run", base, None, overrides, ())
    if loaded is None or problems:
        raise UserError(problems)
    return loaded


def resolve(spec: RunSpec, *, base: Path, plugins: Plugins | None = None) -> LoadedSpec:
    """Check a spec that was made in Python; its relative paths are as seen from the folder `base`.

    Raises:
        UserError: with every problem that was found.
    """
    loader, origins = _Loader(_installed(plugins), None), Origins()
    whole, unknown = with_recipe(spec.model_dump(exclude_unset=True), loader.plugins, origins)
    if unknown:
        raise UserError(fault.problem for fault in unknown)
    written = spec.model_dump()["distiller"]
    if isinstance(spec.recipe, str):
        spec = RunSpec.model_validate(whole)
    checker = Checker(spec, base, loader.plugins, lambda where: False, written)
    loaded, problems = loader.settle(checker, None, ())
    if problems:
        raise UserError(replace(problem, where=origins.told(problem.where)) for problem in problems)
    return loaded


def resolved_dict(loaded: LoadedSpec) -> dict[str, Any]:
    """The spec with every default filled in, as JSON; loading it gives an equal spec."""
    return loaded.spec.model_dump(mode="json")


def _installed(plugins: Plugins | None) -> Plugins:
    from kdcore.plugins import get_plugins

    return get_plugins() if plugins is None else plugins


class _Loader:
    """Loads a spec and those of its teachers."""

    def __init__(self, plugins: Plugins, output: str | Path | None) -> None:
        self.plugins = plugins
        self._output = None if output is None else Path(output)

    def load(
        self,
        file: Path,
        label: str,
        overrides: Iterable[str],
        chain: tuple[Path, ...],
        base: Path | None = None,
    ) -> tuple[LoadedSpec | None, list[Problem]]:
        """One spec and what is wrong with it; None where that is too much to go on.

        `label` is what the file is called in a problem, and `chain` has the files whose teacher this is.

        Raises:
            UserError: the file cannot be read.
        """
        given, path = read_file(file, label), file.absolute()
        return self.check(given, _name_of(file), base or path.parent, path, overrides, chain)

    def check(
        self,
        given: dict[str, Any],
        name: str,
        base: Path,
        file: Path | None,
        overrides: Iterable[str],
        chain: tuple[Path, ...],
    ) -> tuple[LoadedSpec | None, list[Problem]]:
        """The same, for what the file holds; `name` is for a run without one."""
        raw, faults = plain(given)
        origins = Origins()
        flags = Overrides(overrides, origins)
        flags.apply(raw)
        if self._output is not None:
            raw["output"] = str(self._output.absolute())
            origins.note("output", "--output")
        raw.pop(_EDITOR_KEY, None)
        raw.setdefault("name", name)
        whole, unknown = with_recipe(raw, self.plugins, origins)
        faults += unknown
        mended = Mended(whole, faults)
        problems = [fault.problem for fault in (*flags.faults, *faults, *mended.faults)]
        loaded = None
        if mended.spec is not None:
            checker = Checker(mended.spec, base, self.plugins, mended.wrong, raw.get("distiller"))
            loaded, more = self.settle(checker, file, chain)
            problems += more
        problems.sort(key=lambda problem: _position(problem.where, list(whole)))
        return loaded, [replace(problem, where=origins.told(problem.where)) for problem in problems]

    def settle(
        self, checker: Checker, file: Path | None, chain: tuple[Path, ...]
    ) -> tuple[LoadedSpec, list[Problem]]:
        """What a spec and that of its teacher's run make together, and what is wrong with them."""
        checker.check()
        spec, problems, teachers = checker.spec, checker.problems, dict[str, LoadedSpec]()
        above = chain if file is None else (*chain, file.resolve())
        for member, given in zip(spec.members, checker.given.members, strict=True):
            if member.spec.run is not None:
                found, more = self._teacher(member.spec.run, given.spec.run, above, f"{member.where}.run")
                problems += more
                if found is not None:
                    teachers[member.name] = found
        loaded = LoadedSpec(spec, file, tuple(checker.distillers), teachers)
        beside = [problem for problem in _beside_teacher(loaded) if not checker.wrong(problem.where)]
        return loaded, problems + beside

    def _teacher(
        self, run: str, given: str | None, above: tuple[Path, ...], where: str
    ) -> tuple[LoadedSpec | None, list[Problem]]:
        try:
            file = find_file(Path(run), where, given)
            if file.name == RUN_SPEC and RunDirectory(file.parent).own_loop:
                message = f"{file.parent} holds a student that was trained outside of kd: there is no run"
                hint = f'name it as "checkpoint": "{file.parent}", in place of "run"'
                return None, [Problem(where, message, given, hint=hint)]
            if file.resolve() in above:
                names = " -> ".join(path.name for path in (*above[above.index(file.resolve()) :], file))
                return None, [Problem(where, f"the specs train each other's teacher: {names}", given)]
            label = f"{where} ({file.name})"
            loaded, problems = self.load(file, label, (), above)
        except UserError as error:
            return None, list(error.problems)
        told = [replace(problem, where=f"{label}: {problem.where}") for problem in problems]
        return (None if told else loaded), told


def _beside_teacher(loaded: LoadedSpec) -> Iterator[Problem]:
    """What does not go together with the specs of the teachers' runs."""
    for member in loaded.spec.members:
        below = loaded.teachers.get(member.name)
        trained = None if below is None else below.spec.student.model
        if below is not None and member.spec.model not in (None, trained):
            message = f"{member.where}.run trains another model, '{trained}'"
            yield Problem(f"{member.where}.model", message, member.spec.model, hint="leave it out")
    if any(_directory(below) == _directory(loaded) for below in below_of(loaded)):
        message = f"the teacher's run has the same directory, {_directory(loaded)}"
        yield Problem(
            "name", message, loaded.spec.name, hint="give one of the two another 'name' or 'output'"
        )


def below_of(loaded: LoadedSpec) -> Iterator[LoadedSpec]:
    """The specs of all teachers' runs, also of those teachers' teachers."""
    for below in loaded.teachers.values():
        yield below
        yield from below_of(below)


def _directory(loaded: LoadedSpec) -> Path:
    return Path(loaded.spec.output).resolve() / loaded.spec.name


def _name_of(file: Path) -> str:
    """A run's name from its spec's file, or from the run directory that the file is in."""
    stem = file.absolute().parent.name if file.name == RUN_SPEC else file.stem
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).lstrip("_.-")[:_NAME_LENGTH] or "run"


def _position(where: str, keys: list[str]) -> int:
    """Where in the file a problem is; what is missing comes last, flags come first."""
    top = re.split(r"[.\[ ]", where, maxsplit=1)[0]
    return -1 if top == "--set" else keys.index(top) if top in keys else len(keys)
