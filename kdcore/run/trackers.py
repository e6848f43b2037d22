"""Experiment trackers (TensorBoard, W&B, MLflow, ...) through accelerate's classes: one point per epoch.

The run directory records what each tracker has. So a resumed run continues in the same curves, sends no point twice,
and sends the points that failed before.
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

PROJECT: Final = "kd"  # the project for trackers that have projects, unless the spec sets 'project'
STATE: Final = "trackers.json"
_MOST_FAILURES: Final = 3  # in a row; then the tracker is switched off

Options = dict[str, Any]


@dataclass
class _Known:
    """What a tracker knows of this run: its own name for the run, and the last epoch."""

    id: str | None = None
    logged: int = 0


# -- settings of each tracker --------------------------------------------------------------------------------------


def _tensorboard(run: RunDirectory, known: _Known) -> Options:
    # points that an earlier process wrote without recording it are treated as never written
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
"""The argument of a tracker that takes the spec's `project`, if it is not accelerate's `run_name`."""


def _identity(tracker: GeneralTracker) -> str | None:
    """A tracker's own name for the run, needed to continue it."""
    inner = tracker.tracker
    for path in ("info.run_id", "id", "hash", "public.run_id"):
        found = inner
        for step in path.split("."):
            found = getattr(found, step, None)
        if isinstance(found, str):
            return found
    return None


# -- all trackers of a run -----------------------------------------------------------------------------------------


class Trackers:
    """The trackers of one run, in its main process. If one fails, a warning is shown and the run continues."""

    def __init__(self, run: RunDirectory, warn: Callable[[str], None]) -> None:
        self._run = run
        self._warn = warn
        self._known: dict[str, _Known] = {}
        self._running: dict[str, GeneralTracker] = {}
        self._failures: dict[str, int] = {}

    def start(self, spec: RunSpec, resolved: Mapping[str, Any]) -> None:
        """Begin or continue; a tracker that does not know the run gets the resolved spec as hyperparameters.

        Raises:
            UserError: a tracker does not take an option in the spec.
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
                self._warn(f"tracker {wanted.name} is off: it did not start ({_described(error)})")

    def epoch_ended(self, records: Sequence[dict[str, Any]]) -> None:
        """Send each tracker the epochs that it does not have; `records` holds all epochs of the run."""
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
        """End all trackers."""
        for name, tracker in self._running.items():
            try:
                tracker.finish()
            except Exception as error:
                self._warn(f"tracker {name} did not end cleanly ({_described(error)})")
        self._running = {}

    def _start(self, wanted: TrackerSpec, known: _Known, settings: Options, *, new: bool) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        kind = LOGGER_TYPE_TO_CLASS[wanted.name]
        given = wanted.options
        if "project" in given:
            given[_PROJECTS.get(wanted.name, "run_name")] = given.pop("project")
        arguments = {**_ARGUMENTS.get(wanted.name, _other)(self._run, known), **given}
        tracker = kind(**arguments)
        if hasattr(tracker, "start"):  # older ones start when they are created
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
            self._warn(f"tracker {name} failed {_MOST_FAILURES} times and is off ({_described(error)})")
        elif self._failures[name] == 1:
            self._warn(f"tracker {name} failed; it gets this epoch with the next one ({_described(error)})")

    def _state(self) -> dict[str, _Known]:
        try:
            state = read_json(self._run.path / STATE)
            return {name: _Known(**known) for name, known in state.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # a new run, or one whose trackers start again

    def _save(self) -> None:
        if self._known:
            # keep trackers that this process does not have: the next one may have them
            known = self._state() | self._known
            write_json(self._run.path / STATE, {name: asdict(item) for name, item in known.items()})


def flat_record(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """An epoch's record for trackers, such as `eval/top1`; values that are not finite numbers are left out."""
    for key, value in flat(record, joint="/", index="/{}").items():
        if key != "epoch" and isinstance(value, int | float) and math.isfinite(value):
            yield key, value


def flat_settings(resolved: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A resolved spec as hyperparameters for trackers, such as `optimizer.lr`: text, numbers and booleans."""
    settings = {name: part for name, part in resolved.items() if name != "trackers"}
    for key, value in flat(settings, index=".{}").items():
        yield key, value if isinstance(value, str | int | float) else json.dumps(value)


def _described(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
