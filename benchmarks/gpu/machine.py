"""What the parts run on, found in a process of its own: it holds no memory of the accelerator afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def machine() -> dict[str, Any]:
    """The environment as a run's summary has it, and the number of processors."""
    done = subprocess.run(  # this very program
        [sys.executable, "-m", "benchmarks.gpu.machine"],
        cwd=ROOT,
        stdout=subprocess.PIPE,  # what goes wrong is shown
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _found() -> dict[str, Any]:
    from benchmarks.device import device
    from kdcore.plugins import get_plugins
    from kdcore.run.environment import environment

    return {**environment(get_plugins(), device(), 1, ROOT), "cpus": os.cpu_count()}


if __name__ == "__main__":
    print(json.dumps(_found()))
