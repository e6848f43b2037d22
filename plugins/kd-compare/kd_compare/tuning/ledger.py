"""The trials of a tuning: which there are, what is tried next, and which are stopped early.

Optuna stores the trials, and its samplers and pruners decide. Each decision is asked of a copy of the study in memory,
made from the stored results alone and with a seed of the trial's own: a tuning that was killed decides as one that was
not.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from kd_compare.compat import live_trial
from kd_compare.tuning.settings import ETA, TuneSettings
from kd_compare.tuning.storage import import_optuna, open_storage
from kdcore import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    import optuna

_SETTINGS: Final = "settings"
WORKER: Final = "worker"
BATCH: Final = "batch"
SCORES: Final = "scores"
VIOLATIONS: Final = "violations"
REASON: Final = "reason"
REPEATS: Final = "repeats"
REFUSED: Final = "refused"


class Ledger:
    """The stored study.

    Args:
        settings: decides which trials there are.
        folder: of the tuning; its name is the study's.
        storage: as `open_storage` takes it.
        worker: the name of this process among those that share the study.

    Raises:
        UserError: the study there has other settings, or the storage cannot be opened.
    """

    def __init__(self, settings: TuneSettings, folder: Path, storage: str, worker: str) -> None:
        self._optuna = import_optuna()
        self._settings = settings
        self._worker = worker
        self._name = folder.name
        self._study: optuna.Study = self._optuna.create_study(
            study_name=self._name,
            storage=open_storage(storage, folder),
            direction=self._direction,
            sampler=self._optuna.samplers.RandomSampler(),  # never asked
            load_if_exists=True,
        )
        self._check(folder)

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials, in the order of their numbers."""
        return list(self._study.get_trials(deepcopy=False))

    @property
    def study(self) -> optuna.Study:
        """The stored study, for Optuna's own measures."""
        return self._study

    def batch(
        self, most: int, defaults: Mapping[str, Any] | None, repeat: Collection[int] = ()
    ) -> list[optuna.trial.FrozenTrial]:
        """The trials to train now: those of this process that have no result, and new ones.

        Args:
            most: the number of trials of the whole tuning, without those that another one repeats.
            defaults: the values of the first trial; None: it is drawn like the others.
            repeat: numbers of failed trials; those that no trial repeats yet are repeated by new ones.
        """
        own = [one for one in self.trials if one.user_attrs[WORKER] == self._worker]
        number = max((one.user_attrs[BATCH] for one in own), default=0)
        current = [one for one in own if one.user_attrs[BATCH] == number]
        if len(current) >= self._settings.together and all(one.state.is_finished() for one in current):
            number, current = number + 1, []
        while len(current) < self._settings.together:
            trials, attributes = self.trials, {WORKER: self._worker, BATCH: number}
            repeated = {one.user_attrs[REPEATS] for one in trials if REPEATS in one.user_attrs}
            failed = min(set(repeat) - repeated, default=None)
            if failed is not None:
                params, attributes[REPEATS] = trials[failed].params, failed
            elif len(trials) - len(repeated) >= most:
                break
            else:
                params = defaults if not trials and defaults is not None else self._ask(trials, number)
            self._study.add_trial(self._trial(params, self._running, user_attrs=attributes))
            current = [
                one
                for one in self.trials
                if one.user_attrs[WORKER] == self._worker and one.user_attrs[BATCH] == number
            ]
        return [one for one in current if not one.state.is_finished()]

    def report(self, number: int, epoch: int, score: float) -> None:
        """Store the score of a trial after an epoch."""
        trial = self.trials[number]
        if epoch not in trial.intermediate_values:
            live_trial(self._study, trial).report(score, epoch)

    def finish(self, number: int, scores: Sequence[float], violations: Mapping[str, float]) -> None:
        """Store the scores of a trial's seeds: its value is their mean."""
        trial = live_trial(self._study, self.trials[number])
        trial.set_user_attr(SCORES, list(scores))
        trial.set_user_attr(VIOLATIONS, dict(violations))
        for name, value in violations.items():
            trial.set_constraint(name, value)
        self._study.tell(number, sum(scores) / len(scores))

    def prune(self, number: int) -> None:
        """Store that a trial was stopped early."""
        self._study.tell(number, state=self._optuna.trial.TrialState.PRUNED)

    def fail(self, number: int, reason: str, *, refused: bool = False) -> None:
        """Store that a trial failed; `refused`: a check of the spec does not allow its values."""
        trial = live_trial(self._study, self.trials[number])
        trial.set_user_attr(REASON, reason)
        trial.set_user_attr(REFUSED, refused)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def to_prune(self, batch: int, epoch: int) -> set[int]:
        """The numbers of the trials of this process's batch that the pruner stops after an epoch.

        All reports and decisions are repeated from the beginning: pruners keep notes of their own, which a kill would
        separate from the results.
        """
        states = self._optuna.trial.TrialState
        copy = self._copy(self._optuna.samplers.RandomSampler(seed=0))
        stored, live = self.trials, dict[int, Any]()
        for one in stored:
            copy.enqueue_trial(one.params)
            live[one.number] = copy.ask(self._distributions)
        batches = dict[tuple[str, int], list[Any]]()
        for one in stored:
            batches.setdefault((one.user_attrs[WORKER], one.user_attrs[BATCH]), []).append(one)
        for key, trials in batches.items():
            for rung in self._settings.rungs:
                known = [one for one in trials if rung in one.intermediate_values]
                for one in known:
                    live[one.number].report(one.intermediate_values[rung], rung)
                pruned = {one.number for one in known if live[one.number].should_prune()}
                if key == (self._worker, batch) and rung == epoch:
                    return pruned
            for one in trials:
                if one.state == states.COMPLETE:
                    copy.tell(one.number, one.value)
                elif one.state.is_finished():
                    copy.tell(one.number, state=one.state)
        return set()

    @property
    def _direction(self) -> str:
        return "minimize" if self._settings.minimize else "maximize"

    @property
    def _running(self) -> Any:
        return self._optuna.trial.TrialState.RUNNING

    def _check(self, folder: Path) -> None:
        """Compare the settings with those of the study, or store them."""
        now = self._settings.described()
        known = self._study.user_attrs.get(_SETTINGS)
        if known is None:
            self._study.set_user_attr(_SETTINGS, now)
            return
        hint = "use another --name to keep the existing tuning, or delete its folder to start over"
        problems = [
            Problem(where, f"{folder} was begun with {json.dumps(known.get(where))}", value, hint=hint)
            for where, value in now.items()
            if known.get(where) != value
        ]
        if problems:
            raise UserError(problems)

    def _ask(self, trials: Sequence[Any], batch: int) -> dict[str, Any]:
        """The values of the next trial: a function of the settings, its number, and the results before its batch."""
        seed = hashlib.sha256(f"{self._settings.sampler_seed}/{len(trials)}".encode()).digest()
        copy = self._copy(self._sampler(int.from_bytes(seed[:4], "big")))
        for one in trials:
            own = one.user_attrs[WORKER] == self._worker and one.user_attrs[BATCH] == batch
            copy.add_trial(self._running_copy(one) if own or not one.state.is_finished() else one)
        return dict(copy.ask(self._distributions).params)

    def _running_copy(self, one: Any) -> Any:
        return self._trial(one.params, self._running)

    def _trial(self, params: Mapping[str, Any], state: Any, **more: Any) -> Any:
        return self._optuna.trial.create_trial(
            state=state, params=dict(params), distributions=self._distributions, **more
        )

    def _copy(self, sampler: Any) -> optuna.Study:
        return self._optuna.create_study(  # type: ignore[no-any-return, unused-ignore]
            study_name=self._name, direction=self._direction, sampler=sampler, pruner=self._pruner()
        )

    def _sampler(self, seed: int) -> Any:
        samplers = self._optuna.samplers
        if self._settings.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if self._settings.sampler == "gp":
            return samplers.GPSampler(seed=seed)
        return samplers.TPESampler(seed=seed)

    def _pruner(self) -> Any:
        pruners, settings = self._optuna.pruners, self._settings
        if settings.pruner == "hyperband":
            return pruners.HyperbandPruner(
                min_resource=settings.least, max_resource=settings.epochs, reduction_factor=ETA
            )
        if settings.pruner == "halving":
            return pruners.SuccessiveHalvingPruner(min_resource=settings.least, reduction_factor=ETA)
        if settings.pruner == "median":
            return pruners.MedianPruner(n_startup_trials=4)
        return pruners.NopPruner()

    @property
    def _distributions(self) -> dict[str, Any]:
        kinds, found = self._optuna.distributions, dict[str, Any]()
        for one in self._settings.space:
            if one.kind == "choice":
                found[one.path] = kinds.CategoricalDistribution([_written(value) for value in one.choices])
            elif one.kind == "int":
                found[one.path] = kinds.IntDistribution(
                    int(one.low), int(one.high), log=one.log, step=int(one.step or 1)
                )
            else:
                found[one.path] = kinds.FloatDistribution(
                    float(one.low), float(one.high), log=one.log, step=one.step
                )
        return found


def _written(value: Any) -> Any:
    """A choice as Optuna can store it: numbers, texts, true, false and null stay, others become JSON."""
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)
