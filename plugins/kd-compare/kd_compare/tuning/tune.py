"""`tune`: find better values for a spec, each trial one or several runs, and compare the best with the spec's own."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_compare.display import choose_comparison_display
from kd_compare.launch import LOCAL, find_launcher
from kd_compare.request import seeds_of
from kd_compare.spec_files import spec_files
from kd_compare.tuning.call import TuneCall
from kd_compare.tuning.constraints import parse_constraint
from kd_compare.tuning.plan import TuneBase, TunePlan, check_spec, make_space, spec_values
from kd_compare.tuning.settings import PRUNERS, SAMPLERS, TuneSettings, known_name
from kd_compare.tuning.storage import import_optuna
from kdcore import LaunchSetup, Problem, RunSpec, UserError
from kdcore.plugin import get_plugins, stop_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_compare.tuning.result import TuneResult

TRIALS: Final = 20
FINAL_SEEDS: Final = 3


def tune(
    spec: RunSpec | Mapping[str, Any] | str | Path,
    *,
    search: Sequence[str] | Mapping[str, Any] = (),
    trials: int = TRIALS,
    retry_failed: bool = False,
    minutes: float | None = None,
    seeds: int | Sequence[int] = 1,
    sampler: str = "tpe",
    pruner: str = "none",
    sampler_seed: int = 0,
    together: int | None = None,
    objective: str | None = None,
    minimize: bool = False,
    constraints: Sequence[str] = (),
    final_seeds: int = FINAL_SEEDS,
    final_overrides: Sequence[str] = (),
    overrides: Sequence[str] = (),
    name: str | None = None,
    output: str | Path | None = None,
    storage: str = "sqlite",
    worker: str | None = None,
    jobs: int | None = None,
    launcher: str = LOCAL,
    launcher_options: Mapping[str, Any] | Sequence[str] = (),
    quiet: bool = False,
) -> TuneResult:
    """Search for values of a spec with which its student is better.

    Everything is checked before anything is trained. Each trial has its own run directories; finished trials are not
    repeated, and interrupted ones continue. A call that was killed and repeated ends with
    the same trials as one that was not.

    Args:
        spec: a run spec's file; or a run spec made in Python, as for `compare`.
        search: the space: `key.path=LOW..HIGH` and other forms as for `--search`, or a dict of places and ranges. None:
            the numbers among the options of the spec's distillers, around the paper's values.
        trials: how many there are in the end, with those of earlier calls.
        retry_failed: train the values of failed trials again, each in a new trial; a failed trial that was repeated
            does not count among `trials`.
        minutes: no trial is begun after them; None: no limit.
        seeds: of each trial: their number, or the seeds. A trial's score is the mean.
        sampler: `tpe`, `random`, or `gp`, which needs SciPy.
        pruner: `none`, `hyperband`, `halving` or `median`: stop weak trials after some epochs.
        sampler_seed: with another one, other values are tried.
        together: trials that are chosen together, before any of them has a result; None: as many as run at a time.
        objective: a measure on the evaluation images, such as `top1`; None: what methods are ranked by.
        minimize: less of it is better.
        constraints: limits of numbers in `summary.json`, such as `student.parameters<=1e6`, or of `student.latency_ms`.
        final_seeds: seeds that no trial had, with which the best values are compared with the spec's own; 0: no
            comparison.
        final_overrides: `key.path=value` for the runs of that comparison alone, such as `data.eval_split=test`: images
            that no trial was chosen by.
        overrides: `key.path=value` for all runs, as for `--set`.
        name: of the tuning's folder; None: `tune-` and the spec's name.
        output: the folder in which that is made, instead of the spec's.
        storage: `sqlite`, `journal`, or the URL of a database that several machines share.
        worker: the name of this process among several that share the storage; None: the machine's.
        jobs: runs at a time; None: the launcher chooses. `local`: one, or one for each of several GPUs.
        launcher: how runs are started: the name of a launcher.
        launcher_options: its options: a dict, or `key=value` texts.
        quiet: show nothing.

    Raises:
        UserError: with every problem that was found; or the folder holds another tuning.
        RunFailed: a teacher's run failed, the launcher failed, or all trials failed.
        Interrupted: it was asked to stop; the runs wrote checkpoints.
    """
    started = time.monotonic()
    import_optuna()
    build = find_launcher(launcher, launcher_options, get_plugins())
    with tempfile.TemporaryDirectory() as scratch:
        (path,) = spec_files(spec, Path(scratch))
        made = isinstance(spec, RunSpec | Mapping)
        base = TuneBase(
            spec=path,
            overrides=tuple(overrides),
            output=None if output is None else Path(output).absolute(),
            base=Path.cwd() if made else None,
            name=name,
        )
        least = {
            "--trials": (trials, 1),
            "--final-seeds": (final_seeds, 0),
            "--jobs": (jobs, 1),
            "--together": (together, 1),
        }
        chosen = _checked_seeds(least, minutes, seeds)
        plan = plan_tuning(
            base,
            search,
            seeds=chosen,
            sampler=known_name("--sampler", sampler, SAMPLERS),
            pruner=known_name("--pruner", pruner, PRUNERS),
            sampler_seed=sampler_seed,
            together=together or max(1, (jobs or 1) // len(chosen)),
            objective=objective,
            minimize=minimize,
            constraints=tuple(map(parse_constraint, constraints)),
        )
        if final_seeds:
            base.load(final_overrides)  # a mistake in them is reported before anything is trained
        launch = build(LaunchSetup(plan.folder / "launcher", jobs))
        progress = choose_comparison_display(quiet)
        try:
            with stop_requests() as stop:
                call = TuneCall(
                    plan=plan,
                    launcher=launch,
                    jobs=jobs,
                    progress=progress,
                    started=started,
                    final_overrides=tuple(final_overrides),
                    stop=stop,
                )
                return call.run(
                    trials,
                    minutes,
                    final_seeds,
                    storage,
                    worker or socket.gethostname().partition(".")[0],
                    retry_failed=retry_failed,
                )
        finally:
            progress.close()


def _checked_seeds(
    least: Mapping[str, tuple[int | None, int]], minutes: float | None, seeds: int | Sequence[int]
) -> tuple[int, ...]:
    """The seeds of a trial.

    Args:
        least: the number that each flag has, and the least that it may be.
        minutes: those of the call; None: no limit.
        seeds: their number, or the seeds.

    Raises:
        UserError: with every number that is wrong.
    """
    problems = [
        Problem(flag, f"must be at least {lowest}", value)
        for flag, (value, lowest) in least.items()
        if value is not None and value < lowest
    ]
    if minutes is not None and not minutes > 0:
        problems.append(Problem("--minutes", "must be above 0", minutes))
    found: tuple[int, ...] = ()
    try:
        found = seeds_of(seeds)
    except ValueError as error:
        problems.append(Problem("--seeds", str(error), seeds))
    if problems:
        raise UserError(problems)
    return found


def plan_tuning(base: TuneBase, search: Sequence[str] | Mapping[str, Any], **settings: Any) -> TunePlan:
    """Check everything before anything is trained.

    Args:
        base: the spec.
        search: the space; empty: the numbers among the distillers' options.
        settings: the other fields of `TuneSettings`.

    Raises:
        UserError: with every problem that was found.
    """
    loaded = base.load()
    folder = base.folder(loaded)
    space = make_space(base, loaded, search)
    teachers, notes = check_spec(base, loaded)
    return TunePlan(
        base=base,
        loaded=loaded,
        folder=folder,
        settings=TuneSettings(space=space, epochs=loaded.spec.train.epochs, **settings),
        teachers=teachers,
        defaults=spec_values(loaded, space),
        notes=notes,
    )
