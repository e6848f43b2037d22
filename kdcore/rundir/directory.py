"""The run directory: every file that one run writes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

from kdcore.errors import Problem, RunFailed, UserError
from kdcore.json_files import Shape, read_json, read_json_lines
from kdcore.rundir import shapes, student_folder
from kdcore.rundir.files import finite, remove_leftovers, temporary_path, write_json, write_text
from kdcore.rundir.lock import Locked, NoLocks, is_locked, lock
from kdcore.text import csv_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

SPEC = "spec.json"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
ENVIRONMENT = "environment.json"
CLASSES = "classes.csv"
REPORT = "report.html"
FIGURES = "figures"
END = ".end.json"
OWN_LOOP = "own"  # in `summary.json` at `loop`: the student comes from a user's own training loop
EXPORTS = "export"
TRANSFORMS = "transforms.json"  # the records of the student's transforms
EMA = "student-ema"
TEACHERS = "teachers"  # those that learned in the run, a folder for each
TEACHER_AVERAGES = "teachers-ema"  # their averages, with train.ema
_LOCK = ".lock"
_TRACKERS = ("tensorboard", "wandb", "dvclive", "swanlab")


_Place: TypeAlias = "tuple[int, int] | None"


class DirectoryInUse(UserError):
    """Another process has locked a run directory."""


class RunDirectory:
    """Reads and writes `OUTPUT/NAME/`.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[_Place, _Place] | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    @property
    def student(self) -> Path:
        """The folder of the final student, for timm."""
        return self.path / "student"

    @property
    def report(self) -> Path:
        """The page of the run's report."""
        return self.path / REPORT

    @property
    def figures(self) -> Path:
        """The folder of the report's figures and of their numbers."""
        return self.path / FIGURES

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / SPEC).is_file()

    @property
    def finished(self) -> bool:
        """Whether a run was completed here."""
        return (self.summary() or {}).get("status") == "finished"

    @property
    def own_loop(self) -> bool:
        """Whether the student was trained outside of kd, and saved by `save_run`."""
        return (self.summary() or {}).get("loop") == OWN_LOOP

    @property
    def in_use(self) -> bool:
        """Whether a process has locked this directory: it is at work here."""
        return is_locked(self.path / _LOCK)

    @property
    def replaced(self) -> bool:
        """Whether this process has locked the folder, and it is not there any more: somebody moved or deleted it."""
        # where a network drive changes the number of a folder, it keeps that of the lock, which is open
        return self._held is not None and all(
            now != before for now, before in zip(self._places(), self._held, strict=True)
        )

    def check_place(self) -> None:
        """Check before something is written that the folder is the one that this process has locked.

        Raises:
            RunFailed: it was moved or deleted.
        """
        if self.replaced:
            raise RunFailed(
                f"{self.path} was moved or deleted during the run: this process writes nothing more there. If you "
                "moved it, move it back: the same command continues from its last checkpoint"
            )

    def _places(self) -> tuple[_Place, _Place]:
        return _place(self.path), _place(self.path / _LOCK)

    def damage(self) -> str | None:
        """What is wrong with the students of a finished run, in a few words; None if they are complete."""
        averaged = (self.spec().get("train") or {}).get("ema") is not None
        folders = [self.student, self.path / EMA] if averaged else [self.student]
        return next((found for folder in folders if (found := student_folder.damage(folder))), None)

    @property
    def epochs_wanted(self) -> int | None:
        """The number of epochs in the spec; None if it does not set it."""
        found: int | None = (self.spec().get("train") or {}).get("epochs")
        return found

    def spec(self) -> dict[str, Any]:
        """The resolved spec of the run that was started here.

        Raises:
            UserError: the file is damaged.
        """
        return self._read(SPEC, shapes.SPEC)

    def summary(self) -> dict[str, Any] | None:
        """The summary; None if the run has not ended.

        Raises:
            UserError: the file is damaged.
        """
        if not (self.path / SUMMARY).is_file():
            return None
        try:
            return self._read(SUMMARY, shapes.SUMMARY)
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None  # the run goes on since a moment ago
            raise

    def metrics(self) -> list[dict[str, Any]]:
        """One record per epoch.

        Raises:
            UserError: the file is damaged.
        """
        path = self.path / METRICS
        try:
            return read_json_lines(path, shapes.RECORD) if path.is_file() else []
        except FileNotFoundError:
            return []  # another process removed it
        except (OSError, ValueError) as error:
            raise self._damaged(path, error) from error

    def environment(self) -> dict[str, Any]:
        """The versions and the device of the newest start; empty if the file is missing or damaged."""
        try:
            found: dict[str, Any] = read_json(self.path / ENVIRONMENT, shapes.ENVIRONMENT)
        except (OSError, ValueError):
            return {}
        return found

    def begin(self, spec: dict[str, Any], environment: dict[str, Any]) -> None:
        """Write what is known before the first step.

        `environment.json` describes the environment of this start; its list `starts` has one entry per start.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        # a run that continues to more epochs is no longer finished, whatever happens next
        for name in (SUMMARY, END):
            (self.path / name).unlink(missing_ok=True)
        starts = [*self._starts(), environment]
        write_json(self.path / ENVIRONMENT, {**environment, "starts": starts})
        write_json(self.path / SPEC, spec)

    def _starts(self) -> list[Any]:
        try:
            starts = read_json(self.path / ENVIRONMENT)["starts"]
        except (OSError, ValueError, KeyError):
            return []  # the first start, or a damaged record of earlier starts, which is not needed
        return starts if isinstance(starts, list) else []

    def steps_done(self) -> frozenset[str]:
        """The completed steps of the run's end."""
        try:
            return frozenset(read_json(self.path / END, {"done!": [str]})["done"])
        except (OSError, ValueError):
            return frozenset()

    def step_done(self, *names: str) -> None:
        """Record that steps of the run's end are complete, so that no later call repeats them."""
        write_json(self.path / END, {"done": sorted({*self.steps_done(), *names})})

    def write_metrics(self, records: Sequence[dict[str, Any]]) -> None:
        """Replace `metrics.jsonl`: one record per line."""
        lines = [json.dumps(finite(record), allow_nan=False) for record in records]
        write_text(self.path / METRICS, "".join(line + "\n" for line in lines))

    def write_classes(self, rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> None:
        """Write `classes.csv`: the final student's measures of each class; one without a name has its index.

        The ends of a measure's interval are in columns of their own, such as `f1_low` and `f1_high`.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        flat = [{**row, **_ends(row.get("intervals", {}))} for row in rows]
        columns = [
            name for name in dict.fromkeys(name for row in flat for name in row) if name != "intervals"
        ]
        writer.writerow(["class", *columns])
        for index, row in enumerate(flat):
            name = str(index) if names is None else names[index]
            writer.writerow([csv_cell(name), *(row.get(column) for column in columns)])
        write_text(self.path / CLASSES, out.getvalue())

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        write_json(self.path / SUMMARY, summary)

    def clear(self) -> None:
        """Remove the files of an earlier run, of its exports and its trackers; keep all other files.

        A teacher cache is kept: it is found by its content, and filling it takes time. If the process is killed here,
        the next one finds no checkpoint to continue from.
        """
        going = temporary_path(self.checkpoints)  # `remove_leftovers` removes it
        with contextlib.suppress(OSError):
            self.checkpoints.rename(going)
        (self.path / SUMMARY).unlink(missing_ok=True)
        shutil.rmtree(going, ignore_errors=True)
        for name in ("checkpoints", "student", EMA, TEACHERS, TEACHER_AVERAGES, FIGURES, EXPORTS, *_TRACKERS):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (SUMMARY, END, METRICS, CLASSES, ENVIRONMENT, "trackers.json", REPORT, SPEC, TRANSFORMS):
            (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, warn: Callable[[str], None] = warnings.warn) -> Iterator[None]:
        """Lock this run directory against other processes, and remove what killed ones left.

        Without locks, as on some network drives, a warning says so, and it goes on without one.

        Args:
            warn: gets the warning.

        Raises:
            DirectoryInUse: another process uses it.
            UserError: it cannot be written.
        """
        alone = True
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock(self.path / _LOCK))
            except Locked:
                raise DirectoryInUse(
                    Problem(
                        "output",
                        f"another process uses {self.path}",
                        hint="wait until it ends, or use another 'name' or --output for this run",
                    )
                ) from None
            except NoLocks as error:
                warn(
                    f"{self.path}: its file system has no locks ({error.strerror}), so nothing prevents that two "
                    "processes use this folder at the same time"
                )
                alone = False
            except OSError as error:
                raise UserError(
                    Problem(
                        "output",
                        f"{self.path} cannot be written: {error.strerror}",
                        hint="use another 'output', or --output DIR",
                    )
                ) from error
            # without a lock, a process of another machine may need its temporary files
            for folder in (self.path, self.path / FIGURES) if alone else ():
                remove_leftovers(folder)
            self._held = self._places() if alone else None
            try:
                yield
            finally:
                self._held = None

    def _read(self, name: str, shape: Shape) -> dict[str, Any]:
        path = self.path / name
        try:
            found: dict[str, Any] = read_json(path, shape)
        except (OSError, ValueError) as error:
            raise self._damaged(path, error) from error
        return found

    def _damaged(self, path: Path, error: OSError | ValueError) -> UserError:
        said = (error.strerror if isinstance(error, OSError) else None) or error
        hint = "'kd run SPEC --fresh' deletes this run and starts again"
        return UserError(Problem(str(path), f"this file of the run is damaged: {said}", hint=hint))


def _place(path: Path) -> _Place:
    """The device and the number of a file or folder; None if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _ends(intervals: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The ends of intervals by their names."""
    return {
        f"{name}_{end}": value
        for name, pair in intervals.items()
        for end, value in zip(("low", "high"), pair, strict=True)
    }
