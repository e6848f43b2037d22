"""It loads, and raises whenever something happens in a run."""

from __future__ import annotations

from typing import Any

from kdcore import hookimpl

PLUGIN_API = 1


@hookimpl
def kd_run_started() -> None:
    """Raises RuntimeError."""
    raise RuntimeError("no run may begin")


@hookimpl
def kd_epoch_ended(metrics: dict[str, Any]) -> None:
    """Raises KeyError."""
    del metrics["not there"]


@hookimpl
def kd_run_finished() -> None:
    """Raises SystemExit, which ends no run either."""
    raise SystemExit(3)
