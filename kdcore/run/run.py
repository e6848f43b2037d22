"""`run`: one distillation from a spec to its run directory, the teacher's first where the spec says so."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kdcore.errors import Interrupted, Problem, RunFailed, UserError
from kdcore.plugins import Plugins, get_plugins
from kdcore.run import launcher
from kdcore.run.caller_state import own_surroundings
from kdcore.run.choose_display import choose_display
from kdcore.run.display import Display, SilentDisplay
from kdcore.run.end import complete
from kdcore.run.result import RunResult
from kdcore.spec import difference
from kdcore.spec.load import LoadedSpec, load_dict, load_spec, resolve, resolved_dict
from kdcore.spec.models import RunSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.run.signals import StopRequest
    from kdcore.rundir.directory import RunDirectory

Existing = Literal["auto", "resume", "fresh"]
"""What to do with a run directory that is not empty: go on if it is the same spec, insist on that, or start over."""

_PEER_LOST = re.compile(r"gloo/transport|connection (closed|reset) by peer", re.IGNORECASE)


def run(
    spec: RunSpec | LoadedSpec | Mapping[str, Any] | str | Path,
    *,
    overrides: Sequence[str] = (),
    output: Path | None = None,
    existing: Existing = "auto",
    until: int | None = None,
    accept_changes: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Run a spec to its end, or go on with what an earlier process began.

    Args:
        spec: a file, or a spec made in Python: a `RunSpec`, or a dict of what a file would hold. Its relative paths
            are relative to the current directory.
        overrides: `key.path=value`, as for `--set`; for a file or a dict only.
        output: folder of the run directories instead of the spec's, for the teacher's run too.
        existing: what to do with a run directory that is there already.
        until: stop after so many epochs, schedules being those of all of them; the summary's status is then `paused`,
            and a later call goes on. None: to the last epoch.
        accept_changes: go on with an unfinished run although its teacher, images, plugins or device changed since its
            checkpoint; `summary.json` and `environment.json` record what was accepted.
        quiet: show nothing.

    Raises:
        UserError: something in the spec is wrong, the directory holds another run, or another thread has a run.
        RunFailed: the run could not go on.
        Interrupted: it was asked to stop, and wrote a checkpoint.
    """
    plugins = get_plugins()
    spec = settled(spec, overrides, output, plugins)
    display = SilentDisplay() if quiet else choose_display(is_main_process())
    done = finished_run(spec, existing, display)
    if done is not None:
        with own_surroundings("kdcore.run"):
            completed = is_main_process() and _complete(spec, plugins, display)
        what = "its end was completed" if completed else "nothing to do (--fresh starts over)"
        display.note(f"{spec.spec.name}: finished before, in {done.directory}; {what}")
        return done
    from kdcore.run.preflight import check
    from kdcore.run.signals import stop_requests

    with own_surroundings("kdcore.run"), stop_requests() as stop:
        report = check(spec, plugins)
        for line in report.lines():
            display.note(line)
        return _run(spec, plugins, display, existing, stop, until, accept_changes)


def settled(
    spec: RunSpec | LoadedSpec | Mapping[str, Any] | str | Path,
    overrides: Sequence[str],
    output: Path | None,
    plugins: Plugins,
) -> LoadedSpec:
    """A spec from its file, or one made in Python, checked.

    Raises:
        UserError: with every problem that was found.
    """
    if isinstance(spec, str | Path):
        return load_spec(Path(spec), overrides=overrides, output=output, plugins=plugins)
    if isinstance(spec, Mapping):
        return load_dict(spec, base=Path.cwd(), overrides=overrides, output=output, plugins=plugins)
    if isinstance(spec, RunSpec):
        chosen = spec if output is None else spec.model_copy(update={"output": str(output)})
        return resolve(chosen, base=Path.cwd(), plugins=plugins)
    return spec


def is_main_process() -> bool:
    """Of several processes, the one that writes; told by their launcher, before they have found each other."""
    return launcher.rank() == 0


def _complete(loaded: LoadedSpec, plugins: Plugins, display: Display) -> bool:
    """Do what a killed process left undone at the end of a finished run; whether there was anything."""
    with loaded.directory.locked():
        return complete(loaded.directory, plugins, display)


def finished_run(loaded: LoadedSpec, existing: Existing, display: Display | None = None) -> RunResult | None:
    """The result of the same spec's finished run, if there is one whose student is whole.

    Raises:
        UserError: the directory holds a run of another spec, or there is nothing to resume.
    """
    directory = loaded.directory
    if existing == "fresh":
        return None
    if not directory.exists:
        if existing == "resume":
            raise UserError(Problem("--resume", f"there is no run in {directory.path}"))
        return None
    changes = spec_changes(directory.spec(), resolved_dict(loaded))
    if changes:
        raise UserError(
            Problem(
                where,
                f"{directory.path} holds a run with another value: {before!r} there, {now!r} here",
                hint="--fresh starts over and deletes that run; another 'name' or --output keeps it",
            )
            for where, before, now in changes
        )
    epochs = directory.epochs_wanted
    if directory.finished and epochs == loaded.spec.train.epochs:
        damage = directory.damage()
        if damage is not None:
            if display is not None:
                display.warn(f"{directory.path}: {damage}; it is made again from the last checkpoint")
            return None
        return RunResult(directory.path, directory.summary() or {}, directory.metrics())
    return None


def spec_changes(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where two resolved specs differ in what a run depends on, and how; more epochs are no other run."""
    return [
        (where, one, other)
        for where, one, other in difference.spec_changes(before, now)
        if not (where == "train.epochs" and isinstance(one, int) and isinstance(other, int) and other > one)
    ]


def _run(
    loaded: LoadedSpec,
    plugins: Plugins,
    display: Display,
    existing: Existing,
    stop: StopRequest,
    until: int | None = None,
    accept_changes: bool = False,
) -> RunResult:
    if loaded.teacher is not None:
        run_teacher(loaded.teacher, plugins, display, stop, accept_changes)
    directory = loaded.directory
    # the processes of one run share its directory: the main one keeps other runs out for all of them
    with directory.locked() if is_main_process() else contextlib.nullcontext():
        if existing == "fresh" and is_main_process():
            directory.clear()
        from kdcore.run.session import Session

        session = Session(loaded, plugins, directory, display, stop, until, accept_changes)
        try:
            return session.run()
        except Interrupted:
            session.conclude("interrupted")
            raise
        except UserError:
            raise
        except Exception as error:
            failure = explained(error, directory)
            with contextlib.suppress(OSError):  # the disk may be what failed
                session.conclude("failed", str(failure) or type(failure).__name__)
            if failure is error:
                raise
            raise failure from error


def run_teacher(
    teacher: LoadedSpec,
    plugins: Plugins,
    display: Display,
    stop: StopRequest,
    accept_changes: bool = False,
) -> None:
    """Train a teacher unless its finished run is there.

    Raises:
        UserError: its directory holds another run.
        RunFailed: its run could not go on.
        Interrupted: it was asked to stop.
    """
    try:
        done = finished_run(teacher, "auto", display)
    except UserError as error:
        # this command's own --fresh is for the student's run only
        hint = f"'kd run {teacher.path} --fresh' trains it anew; another 'name' there keeps that run"
        raise UserError(
            replace(problem, where=f"teacher.run: {problem.where}", hint=hint) for problem in error.problems
        ) from error
    if done is None:
        display.note(f"teacher: training '{teacher.spec.name}' first")
        _run(teacher, plugins, display, "auto", stop, None, accept_changes)
        display.note(f"student: training with teacher '{teacher.spec.name}'")
    elif is_main_process():
        _complete(teacher, plugins, display)


def explained(error: Exception, directory: RunDirectory) -> Exception:
    """Ends that users meet, in words; anything else as it is."""
    import torch

    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left on device" in str(error):  # safetensors has an error of its own
        return RunFailed("the disk is full: make room, and the same command goes on from the last checkpoint")
    if isinstance(error, OSError) and str(error.filename).startswith(str(directory.path)):
        return RunFailed(f"the run directory cannot be written: {error.strerror}: {error.filename}")
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
        # told by a signal, wherever the run is at that moment
        return RunFailed(f"a loader process died: {str(error).splitlines()[0]}")
    if isinstance(error, RuntimeError) and (
        type(error).__name__.startswith("Dist") or _PEER_LOST.search(str(error))
    ):
        first = str(error).partition("\n")[0][:200]
        return RunFailed(
            f"another process of this run has ended or cannot be reached: its own message says why ({first})"
        )
    if isinstance(error, torch.OutOfMemoryError):
        return RunFailed(
            "the GPU's memory is full. What to lower: train.batch_size (train.accumulate keeps the sum), "
            "data.image_size; or set train.precision to 'bf16'"
        )
    return error
