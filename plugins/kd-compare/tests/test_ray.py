"""The launcher `ray`, with a Ray that is started on this machine; skipped where Ray is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kd_compare.ray_launcher import import_ray

from kdcore import UserError


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"(?s)needs the package ray.*(kd-compare\[ray\]|ray>=)"):
        import_ray()


CODE = """
import json, sys, time
from pathlib import Path
from kdcore import LaunchJob, LaunchSetup
from kd_compare.ray_launcher import RayLauncher
from kd_compare.ray_options import RayOptions

folder = Path(sys.argv[1])
launcher = RayLauncher(RayOptions(address="local", threads=3, environment={"EXTRA": "yes"}), LaunchSetup(folder, 2))

def job(name, *arguments, **fields):
    return LaunchJob(name, arguments, folder, folder / name, folder / "logs" / f"{name}.log", **fields)

def wait(count):
    found, until = [], time.monotonic() + 240
    while len(found) < count:
        assert time.monotonic() < until, f"it takes too long; {found} have ended"
        found += launcher.ended()
        time.sleep(0.05)
    return {end.name: [end.code, end.reason] for end in found}

handles = [launcher.start(job(name, *arguments, gpus=0)) for name, arguments in
           {"good": ["--version"], "bad": ["validate", "gone.json"], "more": []}.items()]
ends = wait(2)
launcher.start(job("late", "--version", gpus=0))
launcher.stop(["late"])
ends |= wait(1)
print(json.dumps([[handle is not None for handle in handles], ends]))
"""


def test_jobs_of_a_ray_of_this_machine(tmp_path: Path):
    pytest.importorskip("ray", reason="the launcher needs the extra 'ray'")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    started, ends = json.loads(done.stdout.splitlines()[-1])
    assert started == [True, True, False]
    assert ends == {"good": [0, None], "bad": [2, None], "late": [143, None]}
    assert (tmp_path / "logs" / "good.log").read_text().startswith("kd ")
    assert "gone.json" in (tmp_path / "logs" / "bad.log").read_text()
