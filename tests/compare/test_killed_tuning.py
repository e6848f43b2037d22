"""A tuning that was killed at random moments ends with the same trials as one that was not.

KD_TEST_KILLS and KD_TEST_TRIALS are how often it is killed, and how many trials it has: once, and two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="kd tune needs the extra 'tune'")
pytest.importorskip("sklearn", reason="the digits need scikit-learn")


@pytest.mark.skipif(sys.platform != "linux", reason="libraries do not survive a fork elsewhere")
def test_a_killed_tuning_ends_with_the_same_trials(tmp_path: Path):
    script = Path(__file__).with_name("killed_tuning.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"], done.stderr
    assert [trial[1] for trial in found["whole"]] == ["finished"] * len(found["whole"])
    assert found["killed"] == found["whole"]
