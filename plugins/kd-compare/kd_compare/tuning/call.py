"""One call of a tuning: its trials, and the comparison of the best values with the spec's own."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from kd_compare.plan import make_plan
from kd_compare.request import Request, Variant
from kd_compare.runner import Runner
from kd_compare.tuning.ledger import Ledger
from kd_compare.tuning.outcome import save
from kd_compare.tuning.result import trial_rows
from kd_compare.tuning.tuner import Tuner
from kdcore import Interrupted, RunDirectory
from kdcore.plugin import DirectoryInUse, get_plugins

if TYPE_CHECKING:
    from kd_compare.display import ComparisonDisplay
    from kd_compare.launch import NamedLauncher
    from kd_compare.result import ComparisonResult
    from kd_compare.tuning.plan import TunePlan
    from kd_compare.tuning.result import TuneResult, TuneStatus
    from kdcore.plugin import StopRequest

_FINAL: Final = "final"


class TuneCall:
    """One call of `tune`, with everything that it needs."""

    def __init__(
        self,
        *,
        plan: TunePlan,
        launcher: NamedLauncher,
        jobs: int | None,
        progress: ComparisonDisplay,
        started: float,
        final_overrides: tuple[str, ...],
        stop: StopRequest,
    ) -> None:
        self.plan = plan
        self.launcher = launcher
        self.jobs = jobs
        self.progress = progress
        self.started = started
        self.final_overrides = final_overrides
        self.stop = stop

    def run(
        self,
        trials: int,
        minutes: float | None,
        final_seeds: int,
        storage: str,
        worker: str,
        *,
        retry_failed: bool = False,
    ) -> TuneResult:
        """Train the trials, and compare the best one."""
        plan = self.plan
        until = None if minutes is None else self.started + 60 * minutes
        with RunDirectory(plan.folder / "workers" / worker).locked():
            ledger = Ledger(plan.settings, plan.folder, storage, worker)
            tuner = Tuner(
                plan,
                ledger,
                self.launcher,
                self.jobs,
                self.progress,
                self.stop,
                lambda: self._save(ledger, "running"),
                worker,
            )
            try:
                tuner.run(trials, until, retry_failed=retry_failed)
                if tuner.later:
                    return self._save(ledger, "prepared", commands=tuple(filter(None, tuner.later)))
                return self._end(ledger, worker, final_seeds)
            except Interrupted:
                self._save(ledger, "interrupted")
                raise
            except Exception:
                with contextlib.suppress(Exception):  # the first error is the one to report
                    self._save(ledger, "failed")
                raise

    def _end(self, ledger: Ledger, worker: str, final_seeds: int) -> TuneResult:
        """The result, with the final comparison. It is left to the worker that ends last."""
        others = self._others_at_work(ledger, worker)
        if others:
            self.progress.note(f"other workers are still at work: {', '.join(others)}")
            return self._save(ledger, "running")
        result = self._save(ledger, "finished")
        if result.best is None or final_seeds == 0:
            return result
        try:
            comparison = self._compare(result, final_seeds)
        except DirectoryInUse:
            self.progress.note("another worker does so at this moment")
            return self._save(ledger, "running")
        if comparison is not None and comparison.status == "prepared":
            return self._save(ledger, "prepared", commands=comparison.commands)
        return self._save(ledger, "finished", comparison)

    def _others_at_work(self, ledger: Ledger, worker: str) -> list[str]:
        """The other workers that train a trial now; one that was killed has a trial too, and does not count."""
        rows = trial_rows(ledger.trials)
        names = {row.worker for row in rows if row.status == "running"} - {worker}
        return sorted(name for name in names if RunDirectory(self.plan.folder / "workers" / name).in_use)

    def _save(
        self,
        ledger: Ledger,
        status: TuneStatus,
        comparison: ComparisonResult | None = None,
        commands: tuple[str, ...] = (),
    ) -> TuneResult:
        return save(self.plan, ledger, status, comparison, time.monotonic() - self.started, commands)

    def _compare(self, result: TuneResult, count: int) -> ComparisonResult | None:
        """The best values against the spec's own ones, over seeds that no trial had."""
        plan = self.plan
        best = result.best_trial
        assert best is not None
        if best.values == plan.defaults:
            self.progress.note("the spec's own values are the best: there is nothing to compare")
            return None
        first = max(plan.settings.seeds) + 1
        self.progress.note(
            f"comparing the values of trial {best.number} with the spec's own over fresh seeds"
        )
        request = Request(
            specs=(plan.base.spec,),
            variants=(
                Variant("default", plan.base.spec),
                Variant("tuned", plan.base.spec, plan.overrides(best.values)),
            ),
            seeds=tuple(range(first, first + count)),
            name=f"{_FINAL}-trial-{best.number}",
            output=plan.base.output,
            folder=plan.folder,
            overrides=(*plan.base.overrides, *self.final_overrides),
            baseline="default",
            base=plan.base.base,
        )
        return Runner(
            make_plan(request, get_plugins()), self.launcher, self.jobs, self.progress, self.stop
        ).run()
