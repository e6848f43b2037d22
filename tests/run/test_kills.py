"""A short form of benchmarks/kills.py: killed in a step, an evaluation and a checkpoint, and the same to the bit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def _kills(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(autouse=True)
def _digits() -> None:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")


def test_a_killed_run_ends_as_one_that_was_not():
    code, told = _kills("--kills", "3", "--method", "crd", "--epochs", "4")
    assert re.search(r"^crd  3 kills \(.+\): equal to the bit$", told, re.MULTILINE), told
    assert code == 0


def test_a_state_that_is_not_whole_is_noticed():
    code, told = _kills("--kills", "1", "--method", "kd", "--epochs", "2", "--forget", "optimizer")
    assert re.search(r"^kd   1 kills \(.+\): \d+ values differ, such as ", told, re.MULTILINE), told
    assert code == 1
