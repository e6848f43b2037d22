"""Notification of a complete run: calls the command in `KD_NOTIFY`. The core uses its own run hooks for this."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import RunFailed
from kdcore.rundir.summary import headline, measure_label
from kdcore.text import duration

if TYPE_CHECKING:
    from kdcore.rundir.directory import RunDirectory

VARIABLE: Final = "KD_NOTIFY"
SECONDS: Final = 10  # time limit of the command


def notify(run: RunDirectory, summary: dict[str, Any]) -> None:
    """Call the command in `KD_NOTIFY`, if it is set, with a line about the run as its last argument.

    There is no shell: the text is always one argument.

    Raises:
        RunFailed: the command cannot be called, fails, or takes longer than ten seconds.
    """
    command = os.environ.get(VARIABLE, "").strip()
    if not command:
        return
    try:
        done = subprocess.run(  # noqa: S603  # the user's own command
            [*shlex.split(command), message(run, summary)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise RunFailed(f"{VARIABLE}={command} could not be called: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or ["it printed no message"]
        raise RunFailed(f"{VARIABLE}={command} ended with exit code {done.returncode}: {said[0]}")


def message(run: RunDirectory, summary: dict[str, Any]) -> str:
    """One line, such as `digits-small: top-1 97.31 % (best 97.50 % in epoch 28), 12 min 5 s, runs/digits-small`."""
    student = summary.get("student") or {}
    parts = []
    first = headline(student)[0]
    if first == "agreement":  # no image was labelled
        parts.append(f"agrees with its teacher on {student['agreement']:.2f} %")
    elif student.get(first) is not None:
        best = ""
        if student.get(f"best_{first}") is not None:
            best = f" (best {student[f'best_{first}']:.2f} % in epoch {student['best_epoch']})"
        parts.append(f"{measure_label(first)} {student[first]:.2f} %{best}")
    parts += [duration(summary.get("wall_seconds") or 0.0), str(run.path)]
    return f"{run.name}: {', '.join(parts)}"
