"""`compare`: train the missing runs of a comparison, each in its own process, and compare all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd_compare.display import choose_comparison_display
from kd_compare.halving import ETA
from kd_compare.launch import LOCAL, find_launcher
from kd_compare.plan import make_plan
from kd_compare.request import Request, is_comparison, read_comparison, seeds_of
from kd_compare.runner import Runner
from kd_compare.spec_files import spec_files
from kd_compare.tuned import plan_tunings, tune_methods
from kd_compare.tuning.storage import import_optuna
from kdcore import LaunchSetup, Problem, RunSpec, UserError
from kdcore.plugin import get_plugins, stop_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_compare.result import ComparisonResult


def compare(
    spec: RunSpec | Mapping[str, Any] | str | Path | Sequence[str | Path],
    *,
    distillers: Sequence[str] | str | None = None,
    only: Sequence[str] | str | None = None,
    seeds: int | Sequence[int] | None = None,
    budget: str | Sequence[int] | None = None,
    eta: int | None = None,
    baseline: str | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    output: str | Path | None = None,
    jobs: int | None = None,
    launcher: str = LOCAL,
    launcher_options: Mapping[str, Any] | Sequence[str] = (),
    tuned: int | None = None,
    search: Sequence[str] | Mapping[str, Any] = (),
    sampler_seed: int | None = None,
    retry_failed: bool = False,
    reports: bool | None = None,
    quiet: bool = False,
) -> ComparisonResult:
    """Train the missing runs of a comparison, and compare.

    Everything is checked before anything is trained. Teachers are trained once, then each run is a process of its own.
    Finished runs are not repeated, and interrupted runs continue. If a run fails, the others go on: see the result's
    `failures()`.

    Args:
        spec: a run spec's file, or several, or a comparison file; or a run spec made in Python, as for `kdcore.run`: a
            `RunSpec`, or a dict of what a file would hold. Its relative paths are relative to the current directory.
        distillers: with one spec, the methods: names, or `all`; the baseline, a student without a teacher, is added.
        only: labels of the methods that are run; the others are left out, also the baseline. None: all methods.
        seeds: their number, or the seeds; None: three, or the comparison file's.
        budget: drop methods early: `auto`, or the epochs after which they are judged. None: the file's, or no budget.
        eta: with a budget, 1/ETA of the methods continue after each rung; None: 3.
        baseline: label of the method that gains are relative to; None: the one without a teacher.
        overrides: `key.path=value` for all runs, as for `--set`.
        name: of the comparison's folder; None: the file's, or `compare-` and the spec's name.
        output: the folder in which that is made, instead of the spec's.
        jobs: runs at a time; None: the launcher chooses. `local`: one, or one for each of several GPUs.
        launcher: how runs are started: the name of a launcher.
        launcher_options: its options: a dict, or `key=value` texts.
        tuned: trials of a tuning that each method gets first; the methods are compared with the best values. None: the
            methods have their own values.
        search: with `tuned`, what is searched, as for `tune`; empty: the numbers among each method's options.
        sampler_seed: with `tuned`, the seed of all tunings; None: 0.
        retry_failed: with `tuned`, train the values of failed trials again, as `tune` does.
        reports: write the report of each finished run that has none, after the runs; None: the comparison file's, or no
            reports.
        quiet: show nothing.

    Raises:
        UserError: with every problem that was found; or the folder holds another comparison.
        RunFailed: a teacher's run failed, or the launcher failed.
        Interrupted: it was asked to stop; the runs wrote checkpoints.
    """
    plugins = get_plugins()
    build = find_launcher(launcher, launcher_options, plugins)
    with tempfile.TemporaryDirectory() as folder:
        paths = spec_files(spec, Path(folder))
        request = _request(paths)
        if isinstance(spec, RunSpec | Mapping):
            request = replace(request, base=Path.cwd())
        given: dict[str, Any] = {
            "distillers": (distillers,) if isinstance(distillers, str) else distillers and tuple(distillers),
            "only": (only,) if isinstance(only, str) else only and tuple(only),
            "seeds": None if seeds is None else _seeds(seeds),
            "budget": ",".join(map(str, budget)) if isinstance(budget, list | tuple) else budget,
            "eta": eta,
            "baseline": baseline,
            "overrides": tuple(overrides) or None,
            "name": name,
            "output": None if output is None else Path(output).absolute(),
            "tuned": tuned,
            "search": search or None,
            "sampler_seed": sampler_seed,
            "retry_failed": retry_failed,
            "reports": reports,
        }
        request = replace(request, **{key: value for key, value in given.items() if value is not None})
        _check_budget(request)
        _check_tuned(request)
        plan = make_plan(request, plugins, existing=request.tuned is None)
        tunings = plan_tunings(plan, request) if request.tuned is not None else None
        launch = build(LaunchSetup(plan.folder / "launcher", jobs))
        progress = choose_comparison_display(quiet)
        try:
            with stop_requests() as stop:
                if tunings is not None:
                    values = tune_methods(tunings, request, build, jobs, progress, stop)
                    if values.prepared:
                        plan = replace(plan, tuned=values.about)
                        return Runner(plan, launch, jobs, progress, stop).prepared(values.commands)
                    plan = replace(make_plan(request, plugins, values.overrides), tuned=values.about)
                return Runner(plan, launch, jobs, progress, stop).run()
        finally:
            progress.close()


def _check_budget(request: Request) -> None:
    """Raises UserError if the share of methods that continue is wrong, or nothing reads it."""
    if request.eta < 2:
        message = "must be at least 2: 1/ETA of the methods continue"
        raise UserError(Problem("--eta", message, request.eta))
    if request.eta != ETA and request.budget is None:
        message = "this is for the rungs of --budget, which was not given"
        raise UserError(Problem("--eta", message, request.eta, hint="add --budget auto"))


def _check_tuned(request: Request) -> None:
    """Raises UserError if the tunings cannot be made."""
    if request.tuned is None:
        given = {
            "--search": request.search,
            "--sampler-seed": request.sampler_seed,
            "--retry-failed": request.retry_failed,
        }
        message = "this is for the tunings of --tuned, which was not given"
        problems = [
            Problem(where, message, hint="add --tuned TRIALS") for where, value in given.items() if value
        ]
        if problems:
            raise UserError(problems)
        return
    if request.tuned < 1:
        raise UserError(Problem("--tuned", "must be at least 1", request.tuned))
    import_optuna()


def _request(paths: tuple[Path, ...]) -> Request:
    found = [path for path in paths if is_comparison(path)]
    if not found:
        return Request(tuple(dict.fromkeys(paths)), eta=ETA)
    if len(paths) > 1:
        message = "this is a comparison file, which stands alone"
        raise UserError(Problem(str(found[0]), message, hint="give run specs, or one comparison file"))
    return read_comparison(found[0])


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    try:
        return seeds_of(seeds)
    except ValueError as error:
        raise UserError(Problem("--seeds", str(error), seeds)) from None
