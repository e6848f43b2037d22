"""A run directory that already exists: the same run, finished or not, or a different one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from kdcore.errors import Problem, UserError
from kdcore.run.result import RunResult
from kdcore.rundir.directory import SPEC
from kdcore.spec import difference
from kdcore.spec.load import resolved_dict

if TYPE_CHECKING:
    from kdcore.run.display import Display
    from kdcore.spec.loaded import LoadedSpec

Existing = Literal["auto", "resume", "fresh"]
"""What to do with a run directory that is not empty: continue if the spec is the same, require that, or start again."""


def finished_run(loaded: LoadedSpec, existing: Existing, display: Display | None = None) -> RunResult | None:
    """The result of a finished run of the same spec, if there is one and its student is complete.

    Raises:
        UserError: the directory holds a run of a different spec, or there is nothing to resume.
    """
    directory = loaded.directory
    if existing == "fresh":
        return None
    if not directory.exists:
        if existing == "resume":
            raise UserError(Problem("--resume", f"there is no run to resume in {directory.path}"))
        return None
    if directory.own_loop:
        return _of_own_loop(loaded)
    changes = spec_changes(directory.spec(), resolved_dict(loaded))
    if changes:
        raise UserError(
            Problem(
                where,
                f"{directory.path} holds a run with a different value: {before!r} there, {now!r} here",
                hint="--fresh deletes that run and starts again; to keep it, use another 'name' or --output",
            )
            for where, before, now in changes
        )
    epochs = directory.epochs_wanted
    if directory.finished and epochs == loaded.spec.train.epochs:
        damage = directory.damage()
        if damage is not None:
            if display is not None:
                display.warn(f"{directory.path}: {damage}; it is written again from the last checkpoint")
            return None
        return RunResult(directory.path, directory.summary() or {}, directory.metrics())
    return None


def _of_own_loop(loaded: LoadedSpec) -> RunResult:
    """A student that `save_run` wrote: there is nothing to continue, and no other spec has such a run.

    Raises:
        UserError: the spec is not the one in the directory.
    """
    directory = loaded.directory
    own = loaded.path is not None and loaded.path.resolve() == (directory.path / SPEC).resolve()
    changed = difference.spec_changes(directory.spec(), resolved_dict(loaded))
    # these are written as they were given, without defaults
    if not own or any(not where.startswith(("distiller", "task.weight")) for where, *_ in changed):
        message = f"{directory.path} holds a student that was trained outside of kd, in another loop"
        hint = "use another 'name' or --output; --fresh deletes that student and starts this run"
        raise UserError(Problem("name", message, loaded.spec.name, hint=hint))
    return RunResult(directory.path, directory.summary() or {}, directory.metrics())


def spec_changes(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The fields that results depend on in which two resolved specs differ; more epochs are not a difference."""
    return [
        (where, one, other)
        for where, one, other in difference.spec_changes(before, now)
        if not (where == "train.epochs" and isinstance(one, int) and isinstance(other, int) and other > one)
    ]
