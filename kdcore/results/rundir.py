"""The run directory: everything that one run leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from typing import TYPE_CHECKING, Any

from kdcore.errors import Problem, UserError
from kdcore.results.files import finite, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SPEC = "spec.json"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
ENVIRONMENT = "environment.json"
REPORT = "report.html"
FIGURES = "figures"


class RunDirectory:
    """Reads and writes `OUTPUT/NAME/`.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """Where the run's state is kept."""
        return self.path / "checkpoints"

    @property
    def student(self) -> Path:
        """The final student, for timm."""
        return self.path / "student"

    @property
    def exists(self) -> bool:
        """A run was begun here."""
        return (self.path / SPEC).is_file()

    @property
    def finished(self) -> bool:
        """A run was completed here."""
        return (self.summary() or {}).get("status") == "finished"

    def spec(self) -> dict[str, Any]:
        """The resolved spec of the run that was begun here.

        Raises:
            UserError: the file is damaged.
        """
        return self._read_json(SPEC)

    def summary(self) -> dict[str, Any] | None:
        """The summary, or None where the run has not come to an end.

        Raises:
            UserError: the file is damaged.
        """
        return self._read_json(SUMMARY) if (self.path / SUMMARY).is_file() else None

    def metrics(self) -> list[dict[str, Any]]:
        """A record per epoch."""
        path = self.path / METRICS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def begin(self, spec: dict[str, Any], environment: dict[str, Any]) -> None:
        """Write what is known before the first step."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        # a run that goes on to more epochs is not finished any more, however it ends
        (self.path / SUMMARY).unlink(missing_ok=True)
        write_json(self.path / ENVIRONMENT, environment)
        write_json(self.path / SPEC, spec)

    def write_metrics(self, records: Sequence[dict[str, Any]]) -> None:
        """Replace `metrics.jsonl`: a record per line."""
        lines = [json.dumps(finite(record), allow_nan=False) for record in records]
        write_text(self.path / METRICS, "".join(line + "\n" for line in lines))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        write_json(self.path / SUMMARY, summary)

    def clear(self) -> None:
        """Remove what an earlier run left here, and nothing else."""
        for name in ("checkpoints", "student", "student-ema", FIGURES, "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (SUMMARY, METRICS, ENVIRONMENT, "trackers.json", REPORT, SPEC):
            (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out of this run directory.

        Raises:
            UserError: another process is at work in it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise UserError(
                Problem(
                    "output",
                    f"{self.path} cannot be written: {error.strerror}",
                    hint="another 'output', or --output DIR",
                )
            ) from error
        with lock as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    Problem(
                        "output",
                        f"another process is at work in {self.path}",
                        hint="wait for it, or give this run another 'name' or --output",
                    )
                ) from None
            yield

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            value = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(
                Problem(str(path), f"cannot be read: {error}", hint="--fresh starts over")
            ) from error
        if not isinstance(value, dict):
            raise UserError(Problem(str(path), "is not a JSON object", hint="--fresh starts over"))
        return value
