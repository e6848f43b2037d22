"""`run`: one distillation from a spec to its run directory; it trains the teacher first if the spec says so."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore import launcher
from kdcore.errors import Interrupted, Problem, UserError
from kdcore.plugins import Plugins, get_plugins
from kdcore.run.caller_state import own_surroundings
from kdcore.run.choose_display import choose_display
from kdcore.run.context import RunContext
from kdcore.run.display import Display, SilentDisplay
from kdcore.run.end import complete, end_is_missing
from kdcore.run.existing import Existing, finished_run
from kdcore.run.failures import explained, stopped_with_loaders
from kdcore.run.settle import is_main_process, settled
from kdcore.rundir.directory import DirectoryInUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from kdcore.run.result import RunResult
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import RunSpec


def run(
    spec: RunSpec | LoadedSpec | Mapping[str, Any] | str | Path,
    *,
    student: nn.Module | None = None,
    teacher: nn.Module | Mapping[str, nn.Module] | None = None,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    existing: Existing = "auto",
    until: int | None = None,
    accept_changes: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Run a spec to its end, or continue a run that an earlier process began.

    Args:
        spec: a file, or a spec made in Python: a `RunSpec`, or a dict with the content of a file. Relative paths of
            such a spec are relative to the current directory.
        student: a module in place of the model that the spec names; only for a file or a dict. A copy is trained, whose
            weights are in the run directory at the end, for `load_state_dict`. `spec.json` records the module's class
            and the digest of its weights. It has to be given again to continue the run; `kd eval` cannot open it.
        teacher: the same for the teacher, or several by name.
        overrides: `key.path=value`, as for `--set`; only for a file or a dict.
        output: folder for the run directories instead of the spec's, also for the teacher's run.
        existing: what to do with a run directory that already exists.
        until: pause after this number of epochs, with the schedules of the whole run; the summary's status is then
            `paused`, and a later call continues. None: train to the last epoch.
        accept_changes: continue an unfinished run although its teacher, images, plugins or device changed since its
            checkpoint; `summary.json` and `environment.json` record what was accepted.
        quiet: show nothing.

    Raises:
        UserError: something in the spec is wrong, the directory holds another run, or another thread runs kd.
        RunFailed: the run could not continue.
        Interrupted: the run was asked to stop, and wrote a checkpoint.
    """
    if student is None and teacher is None:
        return _settled_run(spec, overrides, output, existing, until, accept_changes, quiet)
    if not isinstance(spec, Mapping | str | Path):
        message = "modules need a spec that is a file or a dict"
        raise UserError(
            Problem("student" if student is not None else "teacher", message, type(spec).__name__)
        )
    from kdcore.models.given import given_modules

    with given_modules(student, teacher) as changes:
        given = (*changes, *overrides)
        return _settled_run(spec, given, output, existing, until, accept_changes, quiet)


def _settled_run(
    spec: RunSpec | LoadedSpec | Mapping[str, Any] | str | Path,
    overrides: Sequence[str],
    output: str | Path | None,
    existing: Existing,
    until: int | None,
    accept_changes: bool,
    quiet: bool,
) -> RunResult:
    plugins = get_plugins()
    spec = settled(spec, overrides, output, plugins)
    display = SilentDisplay() if quiet else choose_display(is_main_process())
    done = finished_run(spec, existing, display)
    if done is not None:
        completed = is_main_process() and _complete(spec, plugins, display)
        what = "its end was completed" if completed else "nothing to do (--fresh starts again)"
        display.note(f"{spec.spec.name}: already finished, in {done.directory}; {what}")
        return done
    from kdcore.run.preflight import check
    from kdcore.run.signals import stop_requests

    spec = replace(spec, fresh=existing == "fresh")
    with own_surroundings("kdcore.run"), stop_requests() as stop:
        for line in check(spec, plugins, compare_splits=False).lines():
            display.note(line)
        context = RunContext(
            loaded=spec,
            plugins=plugins,
            display=display,
            stop=stop,
            until=until,
            accept_changes=accept_changes,
        )
        return _run(context)


def _complete(loaded: LoadedSpec, plugins: Plugins, display: Display) -> bool:
    """Complete the end of a finished run that was killed there; returns whether anything was missing."""
    if not end_is_missing(loaded.directory, plugins):
        return False
    with own_surroundings("kdcore.run"), loaded.directory.locked(display.warn):
        return complete(loaded.directory, plugins, display)


def _run(context: RunContext) -> RunResult:
    directory = context.directory
    for below in context.loaded.teachers.values():
        run_teacher(replace(context, loaded=below, until=None))
    # the processes of one run share its directory: the main one locks it for all of them
    with directory.locked(context.display.warn) if is_main_process() else contextlib.nullcontext():
        if context.loaded.fresh and is_main_process():
            directory.clear()
        done = _finished_meanwhile(context)
        if done is not None:
            return done
        from kdcore.data.loader import loaders_end
        from kdcore.run.session import Session

        session = Session(context)
        try:
            with loaders_end():
                return session.run()
        except Interrupted:
            session.conclude("interrupted")
            raise
        except UserError:
            raise
        except Exception as error:
            saved = None if session.training is None else session.training.saver.saved_step
            interrupted = stopped_with_loaders(error, context.stop, saved)
            if interrupted is not None:
                session.conclude("interrupted")
                raise interrupted from error
            trained = None if session.training is None else session.training.distillation
            failure = explained(error, directory, trained)
            with contextlib.suppress(OSError):  # the disk may be the cause of the failure
                summary = session.conclude("failed", str(failure) or type(failure).__name__)
                if is_main_process():
                    context.plugins.run_failed(directory, summary, context.display.warn)
            if failure is error:
                raise
            raise failure from error
        finally:
            session.close()


def _finished_meanwhile(context: RunContext) -> RunResult | None:
    """The run's result, if another process ended it before this one had its lock."""
    # several processes have not met yet: they could not agree
    done = None if context.loaded.fresh or launcher.processes() > 1 else finished_run(context.loaded, "auto")
    if done is not None:
        complete(context.directory, context.plugins, context.display)
        name = context.loaded.spec.name
        context.display.note(f"{name}: another process finished it meanwhile, in {done.directory}")
    return done


def run_teacher(context: RunContext) -> None:
    """Train a teacher unless its finished run is there; `context` belongs to the teacher's own run.

    Raises:
        UserError: its directory holds another run.
        RunFailed: its run could not continue.
        Interrupted: it was asked to stop.
    """
    teacher, display = context.loaded, context.display
    try:
        done = finished_run(teacher, "auto", display)
    except UserError as error:
        # this command's own --fresh applies to the student's run only
        hint = f"'kd run {teacher.path} --fresh' trains it from the start; to keep it, use another 'name' in that spec"
        raise UserError(
            replace(problem, where=f"teacher.run: {problem.where}", hint=hint) for problem in error.problems
        ) from error
    if done is None:
        display.note(f"teacher: training '{teacher.spec.name}' first")
        _run(context)
        display.note(f"student: training with teacher '{teacher.spec.name}'")
    elif is_main_process():
        with contextlib.suppress(DirectoryInUse):  # another run that has this teacher does it now
            _complete(teacher, context.plugins, display)
