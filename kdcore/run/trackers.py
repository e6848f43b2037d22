"""Trackers of experiments (TensorBoard, W&B, MLflow, ...), by accelerate's classes: a point for each epoch.

What a tracker has of the run stands in the run directory. So a run that goes on goes on there, too: in the same
curves, without a point that is there already, and with those that could not be sent.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError
from kdcore.json_files import flat, read_json
from kdcore.rundir.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from accelerate.tracking import GeneralTracker

    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.models import RunSpec, TrackerSpec

PROJECT: Final = "kd"  # what trackers that sort runs into projects call ours, unless 'project' says another
STATE: Final = "trackers.json"
_MOST_FAILURES: Final = 3  # one after another; then the tracker is left alone

Options = dict[str, Any]


@dataclass
class _Known:
    """What a tracker has of this run: its own name for it, and the last epoch."""

    id: str | None = None
    logged: int = 0


# -- what differs from one to the other ----------------------------------------------------------------------------


def _tensorboard(run: RunDirectory, known: _Known) -> Options:
    # points that an earlier process wrote and did not live to note are taken for never written
    return {"run_name": "tensorboard", "logging_dir": str(run.path), "purge_step": known.logged + 1}


def _wandb(run: RunDirectory, known: _Known) -> Options:
    again = {} if known.id is None else {"id": known.id, "resume": "allow"}
    return {"run_name": PROJECT, "name": run.name, "dir": str(run.path), **again}


def _mlflow(run: RunDirectory, known: _Known) -> Options:
    again = {} if known.id is None else {"run_id": known.id}
    return {"experiment_name": PROJECT, "run_name": run.name, **again}


def _comet(run: RunDirectory, known: _Known) -> Options:
    again = {} if known.id is None else {"experiment_key": known.id}
    return {"run_name": PROJECT, **again}


def _aim(run: RunDirectory, known: _Known) -> Options:
    again = {} if known.id is None else {"run_hash": known.id}
    return {"run_name": run.name, "logging_dir": str(run.path.parent), "experiment": PROJECT, **again}


def _clearml(run: RunDirectory, known: _Known) -> Options:
    again = {} if known.id is None else {"continue_last_task": known.id}
    return {"project_name": PROJECT, "task_name": run.name, **again}


def _dvclive(run: RunDirectory, known: _Known) -> Options:
    return {"dir": str(run.path / "dvclive"), "resume": known.logged > 0}


def _swanlab(run: RunDirectory, known: _Known) -> Options:
    again = {} if known.id is None else {"id": known.id, "resume": "allow"}
    return {"run_name": PROJECT, "experiment_name": run.name, "logdir": str(run.path / "swanlab"), **again}


def _trackio(run: RunDirectory, known: _Known) -> Options:
    return {"run_name": PROJECT, "name": run.name, "resume": "allow"}


def _other(run: RunDirectory, known: _Known) -> Options:
    return {"run_name": run.name}


_ARGUMENTS: Final[dict[str, Callable[[RunDirectory, _Known], Options]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "comet_ml": _comet,
    "aim": _aim,
    "clearml": _clearml,
    "dvclive": _dvclive,
    "swanlab": _swanlab,
    "trackio": _trackio,
}
_PROJECTS: Final = {"mlflow": "experiment_name", "clearml": "project_name", "aim": "experiment"}
"""The argument that `project` of the spec is, where it is not accelerate's `run_name`."""


def _identity(tracker: GeneralTracker) -> str | None:
    """A tracker's own name for the run, by which it goes on."""
    inner = tracker.tracker
    for path in ("info.run_id", "id", "hash", "public.run_id"):
        found = inner
        for step in path.split("."):
            found = getattr(found, step, None)
        if isinstance(found, str):
            return found
    return None


# -- all of a run's ------------------------------------------------------------------------------------------------


class Trackers:
    """The trackers of one run, in its main process. One that fails is told of, and the run goes on."""

    def __init__(self, run: RunDirectory, warn: Callable[[str], None]) -> None:
        self._run = run
        self._warn = warn
        self._known: dict[str, _Known] = {}
        self._running: dict[str, GeneralTracker] = {}
        self._failures: dict[str, int] = {}

    def start(self, spec: RunSpec, resolved: Mapping[str, Any]) -> None:
        """Begin or go on; a run that is new to a tracker gives it the resolved spec as hyperparameters.

        Raises:
            UserError: a tracker does not take an option that the spec gives it.
        """
        state = self._state()
        for number, wanted in enumerate(spec.trackers):
            known = state.get(wanted.name)
            try:
                self._start(wanted, known or _Known(), dict(flat_settings(resolved)), new=known is None)
            except TypeError as error:
                where = f"trackers[{number}]"
                message = f"{wanted.name} does not take these options: {error}"
                raise UserError(Problem(where, message, wanted.options)) from error
            except Exception as error:
                self._warn(f"tracker {wanted.name} is off: it did not start ({_told(error)})")

    def epoch_ended(self, records: Sequence[dict[str, Any]]) -> None:
        """Give each tracker the epochs that it has not yet; `records` are all of the run."""
        for name, tracker in list(self._running.items()):
            known = self._known[name]
            try:
                for record in records[known.logged :]:
                    tracker.log(dict(flat_record(record)), step=record["epoch"])
                    known.logged = record["epoch"]
            except Exception as error:
                self._failed(name, error)
            else:
                self._failures[name] = 0
        self._save()

    def close(self) -> None:
        """End them all."""
        for name, tracker in self._running.items():
            try:
                tracker.finish()
            except Exception as error:
                self._warn(f"tracker {name} did not end well ({_told(error)})")
        self._running = {}

    def _start(self, wanted: TrackerSpec, known: _Known, settings: Options, *, new: bool) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        kind = LOGGER_TYPE_TO_CLASS[wanted.name]
        given = wanted.options
        if "project" in given:
            given[_PROJECTS.get(wanted.name, "run_name")] = given.pop("project")
        arguments = {**_ARGUMENTS.get(wanted.name, _other)(self._run, known), **given}
        tracker = kind(**arguments)
        if hasattr(tracker, "start"):  # older ones start at once
            tracker.start()
        self._running[wanted.name] = tracker
        if new:
            tracker.store_init_configuration(settings)
        known.id = _identity(tracker) or known.id
        self._known[wanted.name] = known
        self._save()

    def _failed(self, name: str, error: Exception) -> None:
        self._failures[name] = self._failures.get(name, 0) + 1
        if self._failures[name] >= _MOST_FAILURES:
            del self._running[name]
            self._warn(f"tracker {name} failed {_MOST_FAILURES} times and is off ({_told(error)})")
        elif self._failures[name] == 1:
            self._warn(f"tracker {name} failed; it gets this epoch with the next ({_told(error)})")

    def _state(self) -> dict[str, _Known]:
        try:
            state = read_json(self._run.path / STATE)
            return {name: _Known(**known) for name, known in state.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # a new run, or one whose trackers begin anew

    def _save(self) -> None:
        if self._known:
            # a tracker that this process does not have may be back in the next
            known = self._state() | self._known
            write_json(self._run.path / STATE, {name: asdict(item) for name, item in known.items()})


def flat_record(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """An epoch's record as trackers take it, `eval/top1`; without what has no finite number."""
    for key, value in flat(record, joint="/", index="/{}").items():
        if key != "epoch" and isinstance(value, int | float) and math.isfinite(value):
            yield key, value


def flat_settings(resolved: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A resolved spec as trackers take hyperparameters, `optimizer.lr`: text, numbers and booleans."""
    settings = {name: part for name, part in resolved.items() if name != "trackers"}
    for key, value in flat(settings, index=".{}").items():
        yield key, value if isinstance(value, str | int | float) else json.dumps(value)


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
