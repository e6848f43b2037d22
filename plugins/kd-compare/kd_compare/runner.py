"""Carries out a plan: teachers first, then the runs, with a budget rung by rung."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, Literal

from kd_report.charts import standalone

from kd_compare.display import Board, Cell
from kd_compare.gather import gather, score_at
from kd_compare.halving import survivors
from kd_compare.handles import Handles
from kd_compare.jobs import Jobs
from kd_compare.page import page
from kd_compare.planned_run import PlannedRun, spec_path
from kd_compare.plots import curves_plot, scores_plot
from kd_compare.run_job import log_path, run_job
from kd_compare.run_reports import make_reports, without_report
from kd_compare.statistics import mean
from kd_compare.table import to_csv, to_latex, to_markdown
from kd_compare.teachers import train_teachers
from kdcore import Interrupted, JobEnd, KdError, RunDirectory
from kdcore.inspect import resolved_dict
from kdcore.plugin import clock, counted, read_json, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_compare.display import ComparisonDisplay
    from kd_compare.launch import NamedLauncher
    from kd_compare.plan import ComparisonPlan
    from kd_compare.result import ComparisonResult, Status
    from kdcore.plugin import StopRequest

RESULT: Final = "comparison.json"
_LOOK: Final = 1.0  # seconds between two reads of the running runs' metrics


class Runner:
    """One call of a comparison.

    Args:
        plan: what to do.
        launcher: starts the runs.
        jobs: runs at a time; None: the launcher chooses.
        progress: receives the progress.
        stop: whether somebody asked to stop.
    """

    def __init__(
        self,
        plan: ComparisonPlan,
        launcher: NamedLauncher,
        jobs: int | None,
        progress: ComparisonDisplay,
        stop: StopRequest,
    ) -> None:
        self.plan = plan
        self.launcher = launcher
        self.progress = progress
        self.stop = stop
        self._limit = jobs
        self._most = jobs or 1
        self._started = self._looked = time.monotonic()
        self._statuses: dict[str, tuple[Status, str | None]] = {}
        self._dropped: dict[str, int] = {}
        self._cells: dict[str, Cell] = {}
        self._board: Board = {}
        self._later: list[
            str
        ] = []  # commands of runs that are started elsewhere, empty if they are in progress

    def run(self) -> ComparisonResult:
        """Train the missing runs, and write the result.

        Raises:
            UserError: another process works on this comparison.
            RunFailed: a teacher's run failed, or the launcher failed.
            Interrupted: it was asked to stop.
        """
        for text in self.plan.notes:
            self.progress.note(f"note: {text}")
        with RunDirectory(self.plan.folder).locked():
            self._write_specs()
            self._handles = Handles(self.plan.folder, self.launcher.name)
            self._jobs = Jobs(
                self.launcher, self._limit, self._handles, self.stop, self._tick, self.progress.note
            )
            self._look_at_what_is_there()
            try:
                return self._run()
            except Interrupted:
                raise  # what there is has been written
            except Exception:
                self._give_up()
                raise

    def _run(self) -> ComparisonResult:
        self._save("running")
        self._train_teachers()
        self._train()
        if self.stop.signal is not None:
            self._interrupt()
        if self._later:
            return self._save("prepared", tables=True)
        failed = any(status == "failed" for status, _ in self._statuses.values())
        status: Literal["failed", "finished"] = "failed" if failed else "finished"
        result = self._save(status, tables=True)
        if not self.plan.reports:
            return result
        make_reports(self.plan.runs, self.stop, self.progress.note)
        result = self._save(status, tables=True)  # the page links the reports
        self._check_reports()
        return result

    def prepared(self, commands: Sequence[str]) -> ComparisonResult:
        """Write the result as it stands before any run: the tunings of the methods are left to the user."""
        self._later = list(commands)
        self._look_at_what_is_there()
        return self._save("prepared", tables=True)

    # -- before ----------------------------------------------------------------------------------------------

    def _write_specs(self) -> None:
        folder = self.plan.folder / "specs"
        folder.mkdir(exist_ok=True)
        for teacher in self.plan.teachers:
            write_json(spec_path(self.plan.folder, f"teacher-{teacher.spec.name}"), resolved_dict(teacher))
        for run in self.plan.runs:
            write_json(spec_path(self.plan.folder, run.name), resolved_dict(run.loaded))

    def _look_at_what_is_there(self) -> None:
        for label in self.plan.labels:
            self._board[label] = []
            for run in self.plan.of(label):
                self._statuses[run.name] = (_status_of(run.directory), None)
                cell = self._cells[run.name] = Cell(epochs=run.loaded.spec.train.epochs)
                self._board[label].append(cell)
                self._read(run)
        done = sum(status == "finished" for status, _ in self._statuses.values())
        plan = self.plan
        text = f"{counted(len(plan.labels), 'method')}, {counted(len(plan.seeds), 'seed')}: "
        text += counted(len(plan.runs), "run")
        self.progress.note(f"{text}, {done} of them finished before" if done else text)

    # -- training --------------------------------------------------------------------------------------------

    def _train_teachers(self) -> None:
        later = train_teachers(
            self.plan.teachers, self.plan.folder, self._jobs, self._handles, self.progress.note, self.stop
        )
        if later is not None:
            self._later.append(later.later or "")
        if self.stop.signal is not None:
            self._interrupt()

    def _train(self) -> None:
        if self._later:  # a teacher
            return
        budget = self.plan.budget
        alive = list(self.plan.labels)
        for rung in () if budget is None else budget.rungs:
            # the baseline is never dropped: it is trained with the survivors
            judged = [label for label in alive if label != self.plan.baseline]
            self._train_runs([run for label in judged for run in self.plan.of(label)], rung)
            if self.stop.signal is not None or self._later:
                return
            assert budget is not None
            scores = {label: self._score(label, rung) for label in judged}
            kept = survivors(scores, budget.eta)
            for label in judged:
                if label not in kept and scores[label] is not None:
                    self._drop(label, rung)
            shown = ", ".join(f"{label} {scores[label]:.2f}" for label in kept)
            self.progress.note(f"after epoch {rung}: {len(kept)} of {len(judged)} methods continue: {shown}")
            alive = [label for label in alive if label in kept or label == self.plan.baseline]
        self._train_runs([run for label in alive for run in self.plan.of(label)], None)

    def _train_runs(self, runs: Sequence[PlannedRun], until: int | None) -> None:
        jobs, of = [], dict[str, PlannedRun]()
        for run in runs:
            status, _ = self._statuses[run.name]
            there = self._cells[run.name].epoch
            if status in ("finished", "failed") or (until is not None and there >= until):
                self._handles.forget(run.name)  # an earlier call started it, and did not see its end
                continue
            jobs.append(run_job(self.plan.folder, run.name, run.loaded, until))
            of[run.name] = run
        self._jobs.run(jobs, lambda end: self._ended(of[end.name], end, until))
        self._most = self._limit or max(self._most, self._jobs.most)

    def _ended(self, run: PlannedRun, end: JobEnd, until: int | None) -> None:
        self._read(run)
        cell = self._cells[run.name]
        who = f"{run.label}, seed {run.seed}"
        if end.later is not None:
            self._later.append(end.later)
            self._set(run, "waiting" if end.later else "running")
            return
        paused = self.stop.signal is not None or (until is not None and cell.epoch >= until)
        reason = end.reason or (None if paused else "it ended without a result")
        if run.directory.finished:  # whatever became of its process at its end
            self._set(run, "finished")
            seconds = (run.directory.summary() or {}).get("wall_seconds") or 0.0
            done = sum(status == "finished" for status, _ in self._statuses.values())
            score = "" if cell.score is None else f"{cell.score:.2f} %, "
            self.progress.note(f"{done}/{len(self.plan.runs)}  {who}: {score}{clock(seconds)}")
        elif reason is not None:
            self._set(run, "failed", reason)
            self.progress.note(
                f"failed: {who}: {reason} (its output: {log_path(self.plan.folder, run.name)})"
            )
        else:
            self._set(run, "paused")
        self._save("running")

    def _score(self, label: str, epoch: int) -> float | None:
        scores = []
        for run in self.plan.of(label):
            status, records = self._statuses[run.name][0], run.directory.metrics()
            if status != "failed":
                # a run that ended early has its last score from then on
                at = min(epoch, len(records)) if status == "finished" else epoch
                scores.append(score_at(records, at, self.plan.metric))
        return mean([score for score in scores if score is not None])

    def _drop(self, label: str, epoch: int) -> None:
        runs = self.plan.of(label)
        if all(self._statuses[run.name][0] == "finished" for run in runs):
            return  # a call without a budget, or with fewer methods, has finished it: its result counts
        self._dropped[label] = epoch
        for run in runs:
            if self._statuses[run.name][0] == "paused":
                self._set(run, "dropped")

    # -- reporting -------------------------------------------------------------------------------------------

    def _tick(self, names: Sequence[str]) -> None:
        look = time.monotonic() - self._looked > _LOOK
        if look:
            self._looked = time.monotonic()
        for run in self.plan.runs:
            if run.name in names:
                self._set(run, "running")
                if look:
                    self._read(run)
        self.progress.update(self._board)

    def _read(self, run: PlannedRun) -> None:
        records = run.directory.metrics()
        cell = self._cells[run.name]
        cell.status = self._statuses[run.name][0]
        if records:
            cell.epoch = records[-1]["epoch"]
            cell.score = score_at(records, cell.epoch, self.plan.metric)

    def _set(self, run: PlannedRun, status: Status, reason: str | None = None) -> None:
        self._statuses[run.name] = (status, reason)
        self._cells[run.name].status = status

    def _interrupt(self) -> None:
        self._save("interrupted", tables=True)
        assert self.stop.signal is not None
        done = sum(status == "finished" for status, _ in self._statuses.values())
        raise Interrupted(
            f"stopped by {self.stop.signal.name}: {done} of {len(self.plan.runs)} runs are finished, the others have a "
            "checkpoint: the same command goes on",
            self.stop.exit_code,
        )

    def _give_up(self) -> None:
        """Write that the comparison failed, also if the cause is a damaged file of a run."""
        try:
            for run in self.plan.runs:
                if self._statuses[run.name][0] == "running":
                    self._set(run, _status_of(run.directory))
            self._save("failed")
        except (KdError, OSError):
            path = self.plan.folder / RESULT
            with contextlib.suppress(OSError, ValueError):  # the first error is the one to report
                write_json(path, {**read_json(path), "status": "failed"})

    def _check_reports(self) -> None:
        """Raises Interrupted if somebody asked to stop before all reports were made."""
        missing = len(without_report(self.plan.runs))
        if self.stop.signal is None or not missing:
            return
        raise Interrupted(
            f"stopped by {self.stop.signal.name}: all runs have ended, {missing} of them without a report: the same "
            "command makes the missing reports",
            self.stop.exit_code,
        )

    def _save(
        self,
        status: Literal["running", "finished", "failed", "interrupted", "prepared"],
        *,
        tables: bool = False,
    ) -> ComparisonResult:
        seconds = time.monotonic() - self._started
        result = gather(
            self.plan,
            self._statuses,
            self._dropped,
            status=status,
            launcher=self.launcher.name,
            jobs=self._most,
            seconds=seconds,
            commands=tuple(filter(None, self._later)),
        )
        folder = self.plan.folder
        write_json(folder / RESULT, result.as_dict())
        if tables:
            write_text(folder / "table.csv", to_csv(result))
            write_text(folder / "table.md", to_markdown(result))
            write_text(folder / "table.tex", to_latex(result))
            write_text(folder / "comparison.html", page(result))
            figures = folder / "figures"
            figures.mkdir(exist_ok=True)
            write_text(figures / "scores.svg", standalone(scores_plot(result)))
            write_text(figures / "curves.svg", standalone(curves_plot(result)))
        return result


def _status_of(directory: RunDirectory) -> Status:
    """Of a run that nobody trains now."""
    if directory.finished:
        return "finished"
    return "paused" if directory.metrics() else "waiting"
