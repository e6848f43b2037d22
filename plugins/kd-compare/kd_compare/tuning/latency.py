"""The latency of a student, for constraints: measured once for each distinct student, and then kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kdcore.plugin import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kdcore import RunDirectory

NAME: Final = "latency_ms"
PATH: Final = f"student.{NAME}"
FILE: Final = "latency.json"
_SHAPE: Final = {"*": {"machine!": str, "milliseconds!": (int, float)}}


class Latencies:
    """Milliseconds of a forward pass of one image on this machine, by the network and the size of its images.

    A measurement is kept: a later call of the tuning judges a trial as the first one did.

    Args:
        folder: of the tuning.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def added(self, summary: Mapping[str, Any], directory: RunDirectory) -> dict[str, Any]:
        """A run's summary with the latency of its student.

        Raises:
            UserError: the student cannot be opened.
        """
        return {**summary, "student": {**summary["student"], NAME: self._of(directory)}}

    def _of(self, directory: RunDirectory) -> float:
        import torch
        from kd_report.eval.speed import Racer, machine, measure

        from kdcore.inspect import open_run_student

        student = open_run_student(directory.path)
        shape = (student.in_chans, *student.input.image_size)
        network = student.network.model_dump(mode="json", exclude={"checkpoint", "pretrained"})
        key = json.dumps([network, student.num_classes, shape], sort_keys=True)
        known = self._read()
        if key not in known:
            device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            device = device or torch.device("cpu")
            (speed,) = measure([Racer(student.model.to(device), shape)], 1, device)
            known[key] = {"machine": machine(device), "milliseconds": speed.milliseconds}
            write_json(self._path, known)
        return float(known[key]["milliseconds"])

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = read_json(self._path, _SHAPE)
        except (OSError, ValueError):
            return {}
        return found
