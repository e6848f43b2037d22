"""How long the command line takes to answer, as ratios to importing what it is made of.

    uv run python benchmarks/startup.py [--rounds 15]

Every round runs each command once, in random order; a ratio is taken within its round. Prints the median and the
quartiles, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASE = "import typer, rich, pydantic, pluggy"
WRONG = {
    "student": {"model": "resnet81"},
    "teacher": {"model": "resnet34", "pretraind": True},
    "distiller": {"name": "dkdd", "alpha": 1.0},
    "train": {"epochs": "many", "batch_size": 0},
    "optimizer": {"name": "sgdd"},
}


def commands(folder: Path) -> dict[str, list[str]]:
    """What is timed, by its name in the table."""
    spec = folder / "wrong.json"
    spec.write_text(json.dumps(WRONG))
    kd = str(Path(sys.executable).with_name("kd"))
    return {
        BASE: [sys.executable, "-c", BASE],
        "kd --help": [kd, "--help"],
        "kd list-distillers": [kd, "list-distillers"],
        "kd show dkd": [kd, "show", "dkd"],
        "kd plugins": [kd, "plugins"],
        "kd validate, a spec with 6 mistakes": [kd, "validate", str(spec)],
    }


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of every command, a list entry per round."""
    with tempfile.TemporaryDirectory() as folder:
        timed = commands(Path(folder))
        # bytecode is what an installed package has
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        seconds: dict[str, list[float]] = {name: [] for name in timed}
        for number in range(rounds + 1):
            for name in random.sample(list(timed), len(timed)):
                start = time.perf_counter()
                subprocess.run(timed[name], env=environment, capture_output=True, check=False)  # noqa: S603
                if number:  # the first round fills the caches
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    seconds = measure(parser.parse_args().rounds)
    print(f"{'command':<40} {'median ms':>9}  {'ratio':>5}  quartiles")
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, seconds[BASE], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{name:<40} {1000 * statistics.median(values):9.0f}  {middle:5.2f}  {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
