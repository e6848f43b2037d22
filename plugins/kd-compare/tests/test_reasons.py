from __future__ import annotations

from pathlib import Path

import pytest
from kd_compare.reasons import reason_of


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (1, "epoch 1\nerror: the disk\n  is full\n", "the disk is full"),
        (3, "", "exit code 3"),
        (-9, "error: long ago", "killed by SIGKILL (out of memory?)"),
        (-15, "", "killed by SIGTERM"),
        (-200, "", "killed by signal 200"),
        (1, "error: " + "x" * 1000, "x" * 397 + "..."),
    ],
)
def test_reasons(tmp_path: Path, code: int, text: str, reason: str):
    log = tmp_path / "some.log"
    log.write_text(text)
    assert reason_of(code, log, 0) == reason


def test_an_error_of_an_earlier_attempt_is_not_the_reason(tmp_path: Path):
    log = tmp_path / "some.log"
    log.write_text("error: long ago\n")
    assert reason_of(1, log, log.stat().st_size) == "exit code 1"


def test_a_job_without_a_log(tmp_path: Path):
    assert reason_of(1, tmp_path / "none.log", 0) == "exit code 1"
