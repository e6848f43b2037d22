"""A run directory by its path, or an error that names the runs near it."""

from __future__ import annotations

from pathlib import Path

from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.rundir.directory import SPEC, RunDirectory


def find_run(path: str | Path) -> RunDirectory:
    """The run directory at a path.

    Raises:
        UserError: there is none; the message names runs near it.
    """
    directory = RunDirectory(Path(path))
    if directory.exists:
        return directory
    if directory.path.is_file():
        message = "this is a file, not the directory of a run"
        raise UserError(Problem("RUN", message, str(path), hint="'kd run SPEC' makes one, OUTPUT/NAME"))
    parents = (directory.path.parent, directory.path.parent / "runs", directory.path)
    found = [str(file.parent) for parent in parents for file in sorted(parent.glob(f"*/{SPEC}"))]
    by_name = {Path(run).name: run for run in reversed(found)}
    near = nearest(directory.path.name, by_name)
    message = "this folder is not a run directory" if directory.path.is_dir() else "there is no such run"
    raise UserError(
        Problem(
            "RUN",
            message,
            str(path),
            allowed=listed(found) if found else None,
            nearest=None if near is None else by_name[near],
            hint=None if found else "a run's directory is OUTPUT/NAME; 'kd run' prints it at its end",
        )
    )
