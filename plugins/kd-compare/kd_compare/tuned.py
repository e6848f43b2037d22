"""`--tuned` of `kd compare`: each method gets the same tuning, before the comparison."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from kd_compare.methods import file_name, is_baseline
from kd_compare.tuning.call import TuneCall
from kd_compare.tuning.default_search import default_search
from kd_compare.tuning.plan import AUTO, TuneBase, TunePlan, search_parts
from kd_compare.tuning.tune import plan_tuning
from kdcore import LaunchSetup, Problem, RunFailed, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kd_compare.display import ComparisonDisplay
    from kd_compare.launch import NamedLauncher
    from kd_compare.plan import ComparisonPlan
    from kd_compare.request import Request
    from kd_compare.tuning.result import TuneResult
    from kdcore.plugin import StopRequest

SEED: Final = 10_000
"""Of all trials, so that more seeds of a comparison change no tuning."""
TOGETHER: Final = 4  # trials chosen together; a constant, so that the values do not depend on --jobs
_SAMPLER: Final = "tpe"
_FOLDER: Final = "tunings"


@dataclass
class Tuned:
    """What the tunings of a comparison have found.

    Attributes:
        overrides: by label, the values as `key.path=value`.
        about: for the result.
        commands: what the user runs first; empty: all tunings are finished.
        prepared: whether some are not finished, as their runs are left to the user.
    """

    overrides: dict[str, tuple[str, ...]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    prepared: bool = False


def plan_tunings(plan: ComparisonPlan, request: Request) -> dict[str, TunePlan | None]:
    """The tuning of each method, checked; None: the method has nothing to search.

    Raises:
        UserError: with every problem that was found.
    """
    found, problems = dict[str, TunePlan | None](), list[Problem]()
    if SEED in request.seeds:
        problems.append(Problem("--seeds", "with --tuned, this is the seed of the trials", SEED))
    for label, variant in plan.variants.items():
        base = TuneBase(
            spec=variant.spec,
            overrides=(*request.overrides, *variant.overrides),
            output=request.output,
            base=request.base,
            name=file_name(label),
            place=plan.folder / _FOLDER,
            shared=plan.folder,
        )
        try:
            search = _searched(base, request)
            if not search:
                found[label] = None
                continue
            found[label] = plan_tuning(
                base,
                search,
                seeds=(SEED,),
                sampler=_SAMPLER,
                pruner="none",
                sampler_seed=request.sampler_seed,
                together=TOGETHER,
                objective=plan.metric,
                minimize=False,
                constraints=(),
            )
        except UserError as error:
            problems += [replace(one, where=f"{label}: {one.where}") for one in error.problems]
    if problems:
        raise UserError(problems)
    return found


def _searched(base: TuneBase, request: Request) -> dict[str, Any]:
    """What a method's tuning searches; a student without a teacher has no options of a distiller."""
    parts, loaded = dict(search_parts(request.search)), base.load()
    if is_baseline(loaded):
        return {path: one for path, one in parts.items() if path.partition(".")[0] not in ("distiller", AUTO)}
    return {} if list(parts) == [AUTO] and not default_search(loaded) else parts


def tune_methods(
    plans: dict[str, TunePlan | None],
    request: Request,
    build: Callable[[LaunchSetup], NamedLauncher],
    jobs: int | None,
    progress: ComparisonDisplay,
    stop: StopRequest,
) -> Tuned:
    """Tune the methods, one after the other; finished trials are not repeated.

    Raises:
        RunFailed: a teacher's run failed, the launcher failed, or all trials of a method failed.
        Interrupted: it was asked to stop; the runs wrote checkpoints.
    """
    assert request.tuned is not None
    found, methods, commands = Tuned(), dict[str, Any](), list[str]()
    for label, plan in plans.items():
        if plan is None:
            progress.note(f"{label}: its options have no numbers to search, so it is not tuned")
            methods[label] = None
            continue
        progress.note(f"{label}: tuning, {request.tuned} trials")
        call = TuneCall(
            plan=plan,
            launcher=build(LaunchSetup(plan.folder / "launcher", jobs)),
            jobs=jobs,
            progress=progress,
            started=time.monotonic(),
            final_overrides=(),
            stop=stop,
        )
        plan.folder.mkdir(parents=True, exist_ok=True)
        try:
            result = call.run(request.tuned, None, 0, "sqlite", "compare", retry_failed=request.retry_failed)
        except RunFailed as error:
            raise RunFailed(f"{label}: {error}") from error
        if result.status == "prepared":
            found.prepared = True
            commands += result.commands
            continue
        best = result.best_trial
        assert best is not None
        found.overrides[label] = plan.overrides(best.values)
        methods[label] = _described(result, plan)
    found.commands = tuple(dict.fromkeys(commands))
    found.about = {
        "trials": request.tuned,
        "sampler": _SAMPLER,
        "sampler_seed": request.sampler_seed,
        "seed": SEED,
        "methods": methods,
    }
    return found


def _described(result: TuneResult, plan: TunePlan) -> dict[str, Any]:
    best, first = result.best_trial, result.trials[0]
    assert best is not None
    own = first.score if plan.defaults is not None and first.values == plan.defaults else None
    return {
        "search": dict(result.space),
        "values": dict(best.values),
        "trial": best.number,
        "score": best.score,
        "own_score": own,
        "failed": len(result.failures()),
        "directory": str(result.directory),
    }
