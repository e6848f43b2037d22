"""How long the command line takes to answer, as ratios to the `--help` of an empty typer application."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.rounds import Case

if TYPE_CHECKING:
    from benchmarks.groups import Cases

EMPTY = """
import typer
app = typer.Typer()
@app.command()
def one() -> None: ...
@app.command()
def two() -> None: ...
app()
"""
WRONG = {
    "student": {"model": "resnet81"},
    "teacher": {"model": "resnet34", "pretraind": True},
    "distiller": {"name": "dkdd", "alpha": 1.0},
    "train": {"epochs": "many", "batch_size": 0},
    "optimizer": {"name": "sgdd"},
}


def cases() -> Cases:
    """One: every command, beside an empty application."""
    return {"commands": commands}


def commands() -> Case:
    """The whole process of each command, from its start to its end."""
    folder = tempfile.TemporaryDirectory()
    spec = Path(folder.name) / "wrong.json"
    spec.write_text(json.dumps(WRONG))
    empty = Path(folder.name) / "empty.py"
    empty.write_text(EMPTY)
    kd = str(Path(sys.executable).with_name("kd"))
    timed = {
        "an empty typer application --help": [sys.executable, str(empty), "--help"],
        "import typer, rich, pydantic, pluggy": [
            sys.executable,
            "-c",
            "import typer, rich, pydantic, pluggy",
        ],
        "kd --help": [kd, "--help"],
        "kd list-distillers": [kd, "list-distillers"],
        "kd show dkd": [kd, "show", "dkd"],
        "kd plugins": [kd, "plugins"],
        "kd validate, a spec with 6 mistakes": [kd, "validate", str(spec)],
    }
    steps = {name: partial(_run, command) for name, command in timed.items()}
    return Case("commands", next(iter(timed)), steps, close=folder.cleanup, cpu=False)


def _run(command: list[str]) -> None:
    # bytecode is what an installed package has
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603
