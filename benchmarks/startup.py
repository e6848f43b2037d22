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

from benchmarks.images import write_images
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
    """Every command relative to an empty application; a whole run of one step relative to importing what it needs."""
    return {"commands": commands, "a run of one step": first_step}


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


def first_step() -> Case:
    """`kd run` from its start to its end: 16 images, one step, 16 images evaluated."""
    folder = tempfile.TemporaryDirectory()
    write_images(Path(folder.name) / "data", samples=16, classes=2)
    spec = Path(folder.name) / "one.json"
    model = {"model": "test_resnet", "small_input": False}
    spec.write_text(
        json.dumps(
            {
                "data": {"dataset": "data", "image_size": 32, "workers": 0},
                "teacher": model,
                "student": model,
                "distiller": "kd",
                "train": {"epochs": 1, "batch_size": 16},
                "report": False,
            }
        )
    )
    kd = str(Path(sys.executable).with_name("kd"))
    steps = {
        "import torch, timm": partial(_run, [sys.executable, "-c", "import torch, timm"]),
        "kd run, the whole of it": partial(_run, [kd, "run", str(spec), "--fresh"]),
    }
    return Case("a run of one step", "import torch, timm", steps, close=folder.cleanup, cpu=False)


def _run(command: list[str]) -> None:
    # bytecode is what an installed package has
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603
    if done.returncode not in (0, 2):  # 2: the spec that is meant to be wrong
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.decode()}")
