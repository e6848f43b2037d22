"""What a tuning leaves behind: `tuning.json`, the best spec, a table and a page."""

from __future__ import annotations

import csv
import io
import warnings
from typing import TYPE_CHECKING, Any, Final

from kd_compare.tuning.objective import measured
from kd_compare.tuning.page import page
from kd_compare.tuning.result import TuneResult, best_of, trial_rows
from kd_compare.tuning.storage import import_optuna
from kdcore import RunDirectory
from kdcore.inspect import resolved_dict
from kdcore.plugin import csv_cell, finite, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from kd_compare.result import ComparisonResult
    from kd_compare.tuning.ledger import Ledger
    from kd_compare.tuning.plan import TunePlan
    from kd_compare.tuning.result import TrialRow, TuneStatus

RESULT: Final = "tuning.json"
BEST: Final = "best.json"
_LEAST: Final = 4  # finished trials from which on importances say something


def save(
    plan: TunePlan,
    ledger: Ledger,
    status: TuneStatus,
    comparison: ComparisonResult | None,
    seconds: float,
    commands: tuple[str, ...] = (),
) -> TuneResult:
    """Write everything, and return the result as things stand."""
    settings = plan.settings
    rows = trial_rows(ledger.trials)
    best = best_of(rows, settings.minimize)
    result = TuneResult(
        directory=plan.folder,
        status=status,
        objective=settings.objective or _measured(plan, rows),
        minimize=settings.minimize,
        space={one.path: str(one) for one in settings.space},
        trials=rows,
        best=best,
        best_spec=None if best is None else plan.folder / BEST,
        importance=_importance(ledger) if status != "running" else {},
        comparison=comparison,
        seconds=seconds,
        commands=commands,
    )
    if result.best_spec is not None and best is not None:
        write_json(result.best_spec, tuned_spec(plan, rows[best].values))
    write_json(plan.folder / RESULT, finite(result.as_dict()))
    write_text(plan.folder / "trials.csv", _csv(result))
    write_text(plan.folder / "tuning.html", page(result))
    return result


def tuned_spec(plan: TunePlan, values: dict[str, Any]) -> dict[str, Any]:
    """The spec with these values, ready for `kd run`: its paths are absolute."""
    content = resolved_dict(plan.base.load(plan.overrides(values)))
    return {**content, "name": f"{plan.loaded.spec.name}-tuned"}


def _measured(plan: TunePlan, rows: tuple[TrialRow, ...]) -> str | None:
    seed = plan.settings.seeds[0]
    for row in rows:
        if row.status == "finished":
            found = measured(RunDirectory(run_path(plan.folder, row.number, seed)))
            if found is not None:
                return found
    return None


def run_path(folder: Path, number: int, seed: int) -> Path:
    """The run directory of a trial with one seed."""
    return folder / "runs" / f"trial-{number}-seed{seed}"


def _importance(ledger: Ledger) -> dict[str, float]:
    """By PED-ANOVA (Watanabe et al., IJCAI 2023), from the finished trials; empty if there are too few."""
    optuna = import_optuna()
    values = {one.value for one in ledger.trials if one.state.name == "COMPLETE"}
    if len(values) < _LEAST:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(
                ledger.study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        except (ValueError, RuntimeError):  # all trials tried the same value
            return {}
    return {path: float(part) for path, part in found.items()}


def _csv(result: TuneResult) -> str:
    head = ["trial", "status", "score", "feasible", "worker", *result.space, "error", "repeats"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in result.trials:
        values = [row.values.get(path) for path in result.space]
        cells = [row.number, row.status, row.score, row.feasible, row.worker, *values, row.error, row.repeats]
        writer.writerow(map(csv_cell, cells))
    return text.getvalue()
