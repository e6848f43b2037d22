"""Carries out a tuning: teachers first, then batch after batch of trials, epoch by epoch where a pruner judges them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from kd_compare.display import Board, Cell
from kd_compare.handles import Handles
from kd_compare.jobs import Jobs
from kd_compare.planned_run import PlannedRun, spec_path
from kd_compare.result import RANKED
from kd_compare.run_job import log_path, run_job
from kd_compare.teachers import train_teachers
from kd_compare.tuning.latency import PATH, Latencies
from kd_compare.tuning.ledger import BATCH, Ledger
from kd_compare.tuning.objective import final_score, score_after
from kd_compare.tuning.result import AGAIN, TrialRow, best_of, to_repeat, trial_rows
from kdcore import Interrupted, JobEnd, RunFailed, UserError
from kdcore.inspect import resolved_dict
from kdcore.plugin import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kd_compare.display import ComparisonDisplay
    from kd_compare.launch import NamedLauncher
    from kd_compare.tuning.plan import TunePlan
    from kdcore.plugin import StopRequest

_LOOK: Final = 1.0  # seconds between two reads of the running runs' metrics


class _Trial:
    """A trial that is trained now."""

    def __init__(self, number: int, batch: int, runs: Sequence[PlannedRun]) -> None:
        self.number = number
        self.batch = batch
        self.runs = tuple(runs)
        self.reasons: list[str] = []


class Tuner:
    """One call of a tuning.

    Args:
        plan: what to do.
        ledger: has the trials.
        launcher: starts the runs.
        jobs: runs at a time; None: the launcher chooses.
        progress: receives the progress.
        stop: whether somebody asked to stop.
        saved: called after each batch.
        worker: the name of this process among those that share the tuning.
    """

    def __init__(
        self,
        plan: TunePlan,
        ledger: Ledger,
        launcher: NamedLauncher,
        jobs: int | None,
        progress: ComparisonDisplay,
        stop: StopRequest,
        saved: Callable[[], object],
        worker: str,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.progress = progress
        self.stop = stop
        self.saved = saved
        self._handles = Handles(plan.folder / "workers" / worker, launcher.name)
        self._jobs = Jobs(launcher, jobs, self._handles, stop, self._tick, progress.note)
        self._board: Board = {}
        self._cells: dict[str, tuple[PlannedRun, Cell]] = {}
        self._looked = time.monotonic()
        self.later: list[str] = []
        """Commands of runs that are started elsewhere; an empty one is in progress."""

    def run(self, trials: int, until: float | None, *, retry_failed: bool = False) -> None:
        """Train trials until there are `trials` of them, or until a time of `time.monotonic` has come.

        Args:
            trials: of the whole tuning, without those that another one repeats.
            until: no trial is begun later; None: no limit.
            retry_failed: repeat the trials that failed in earlier calls.

        Raises:
            RunFailed: a teacher's run failed, the launcher failed, or all trials failed.
            Interrupted: it was asked to stop; the runs wrote checkpoints.
        """
        for text in self.plan.notes:
            self.progress.note(f"note: {text}")
        (self.plan.folder / "specs").mkdir(exist_ok=True)
        for teacher in self.plan.teachers:
            write_json(spec_path(self.plan.folder, f"teacher-{teacher.spec.name}"), resolved_dict(teacher))
        later = train_teachers(
            self.plan.teachers,
            self.plan.folder,
            self._jobs,
            self._handles,
            self.progress.note,
            self.stop,
        )
        if later is not None:
            self.later.append(later.later or "")
        repeat = to_repeat(trial_rows(self.ledger.trials)) if retry_failed else ()
        while self.stop.signal is None and not self.later and (until is None or time.monotonic() < until):
            batch = self.ledger.batch(trials, self.plan.defaults, repeat)
            if not batch:
                break
            self._train_batch([self._planned(one) for one in batch])
            self.saved()
        if self.stop.signal is not None:
            self._interrupt()
        rows = trial_rows(self.ledger.trials)
        if rows and all(row.status == "failed" for row in rows):
            again = f"; {AGAIN}" if to_repeat(rows) else ""
            raise RunFailed(f"all trials failed{again}; the first: {rows[0].error}")

    def _planned(self, one: Any) -> _Trial:
        trial = _Trial(one.number, one.user_attrs[BATCH], ())
        try:
            trial.runs = tuple(
                self.plan.run(one.number, one.params, seed) for seed in self.plan.settings.seeds
            )
        except UserError as error:
            trial.reasons.append("; ".join(map(str, error.problems)))
        for run in trial.runs:
            write_json(spec_path(self.plan.folder, run.name), resolved_dict(run.loaded))
            cell = Cell(epochs=run.loaded.spec.train.epochs)
            self._cells[run.name] = (run, cell)
            self._board.setdefault(f"trial {trial.number}", []).append(cell)
        return trial

    def _train_batch(self, batch: list[_Trial]) -> None:
        alive = self._without_failed(batch)
        for rung in self.plan.settings.rungs:
            self._train(alive, rung)
            if self.stop.signal is not None or self.later:
                return
            alive = self._judged(self._without_failed(alive), rung)
        self._train(alive, None)
        if self.stop.signal is not None or self.later:
            return
        for trial in self._without_failed(alive):
            self._finish(trial)

    def _train(self, trials: Sequence[_Trial], until: int | None) -> None:
        jobs, of = [], dict[str, tuple[_Trial, PlannedRun]]()
        for trial in trials:
            for run in trial.runs:
                records = run.directory.metrics()
                if run.directory.finished or (until is not None and len(records) >= until):
                    self._handles.forget(run.name)  # an earlier call started it, and did not see its end
                    continue
                jobs.append(run_job(self.plan.folder, run.name, run.loaded, until))
                of[run.name] = (trial, run)
        self._jobs.run(jobs, lambda end: self._ended(*of[end.name], end, until))

    def _ended(self, trial: _Trial, run: PlannedRun, end: JobEnd, until: int | None) -> None:
        self._read(run)
        cell = self._cells[run.name][1]
        if end.later is not None:
            self.later.append(end.later)
            cell.status = "waiting" if end.later else "running"
            return
        if run.directory.finished:  # whatever became of its process at its end
            cell.status = "finished"
            return
        paused = self.stop.signal is not None or (until is not None and cell.epoch >= until)
        reason = end.reason or (None if paused else "it ended without a result")
        cell.status = "failed" if reason else "paused"
        if reason is not None:
            said = f"{reason} (its output: {log_path(self.plan.folder, run.name)})"
            trial.reasons.append(said)
            self.progress.note(f"failed: trial {trial.number}, seed {run.seed}: {said}")

    def _without_failed(self, trials: Sequence[_Trial]) -> list[_Trial]:
        for trial in trials:
            if trial.reasons:
                self.ledger.fail(trial.number, trial.reasons[0], refused=not trial.runs)
        return [trial for trial in trials if not trial.reasons]

    def _judged(self, trials: Sequence[_Trial], rung: int) -> list[_Trial]:
        """Report the scores of all, and stop those that the pruner names."""
        for trial in trials:
            scores = [score_after(run.directory, rung, self.plan.settings.objective) for run in trial.runs]
            self.ledger.report(trial.number, rung, sum(scores) / len(scores))
        pruned = self.ledger.to_prune(trials[0].batch, rung) if trials else set()
        for trial in trials:
            if trial.number in pruned:
                self.ledger.prune(trial.number)
                for cell in self._board[f"trial {trial.number}"]:
                    cell.status = "dropped"
                self.progress.note(f"trial {trial.number}: stopped after epoch {rung}")
        return [trial for trial in trials if trial.number not in pruned]

    def _finish(self, trial: _Trial) -> None:
        settings = self.plan.settings
        scores = [final_score(run.directory, settings.objective) for run in trial.runs]
        summaries = [run.directory.summary() or {} for run in trial.runs]
        if any(one.path == PATH for one in settings.constraints):
            # no run of this process is at work now
            latencies = Latencies(self.plan.folder)
            pairs = zip(summaries, trial.runs, strict=True)
            summaries = [latencies.added(summary, run.directory) for summary, run in pairs]
        violations = {
            str(one): max(one.violation(summary) for summary in summaries) for one in settings.constraints
        }
        self.ledger.finish(trial.number, scores, violations)
        rows = trial_rows(self.ledger.trials)
        self.progress.note(_line(rows[trial.number], best_of(rows, settings.minimize), rows))

    def _tick(self, names: Sequence[str]) -> None:
        look = time.monotonic() - self._looked > _LOOK
        if look:
            self._looked = time.monotonic()
        for name in names:
            if name in self._cells:
                run, cell = self._cells[name]
                cell.status = "running"
                if look:
                    self._read(run)
        self.progress.update(self._board)

    def _read(self, run: PlannedRun) -> None:
        records, cell = run.directory.metrics(), self._cells[run.name][1]
        if records:
            cell.epoch = records[-1]["epoch"]
            scores = records[-1].get("eval") or {}
            names = [self.plan.settings.objective or "", *RANKED]
            cell.score = next((scores[name] for name in names if scores.get(name) is not None), None)

    def _interrupt(self) -> None:
        assert self.stop.signal is not None
        done = sum(row.status != "running" for row in trial_rows(self.ledger.trials))
        raise Interrupted(
            f"stopped by {self.stop.signal.name}: {done} trials have a result, the others a checkpoint: the same "
            "command goes on",
            self.stop.exit_code,
        )


def _line(row: TrialRow, best: int | None, rows: Sequence[TrialRow]) -> str:
    values = ", ".join(f"{path.rpartition('.')[2]} {_short(value)}" for path, value in row.values.items())
    text = f"trial {row.number}: {row.score:.4g} with {values}"
    if not row.feasible:
        return f"{text}; it breaks a constraint"
    return (
        f"{text}, the best"
        if best == row.number
        else text
        if best is None
        else (f"{text}; the best is {rows[best].score:.4g} of trial {best}")
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
