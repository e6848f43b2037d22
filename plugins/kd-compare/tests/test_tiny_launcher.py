"""A launcher of another plugin starts the runs of a real comparison, which is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kd_compare
import pytest
from kd_compare.jobs import Jobs
from PIL import Image

from kdcore import RunDirectory, RunFailed

PLUGIN = """
from kdcore import LauncherEntry, hookimpl

@hookimpl
def kd_launchers():
    return [LauncherEntry("tiny", "A shell for each job.", "kd_tiny.code:Tiny", options="kd_tiny.options:TinyOptions")]
"""
OPTIONS = """
from kdcore import Options
from pydantic import Field

class TinyOptions(Options):
    fail: bool = Field(False, description="Fail instead of starting a job.")
"""
CODE = '''
import os, signal, subprocess
from kdcore import JobEnd

# a trap is not inherited by the command; the test decides when a job begins, which it does within ten minutes
SHELL = """
trap : TERM; code=$0; n=0
while [ ! -e "$code.go" ]; do n=$((n + 1)); [ $n -lt 6000 ] || exit; sleep 0.1; done
"$@"; echo $? > "$code"
"""

class Tiny:
    """Jobs outlive the process that starts them: a file has the exit code of each."""

    def __init__(self, options, setup):
        self.options, self.folder, self.running = options, setup.folder, {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self, job):
        if self.options.fail:
            raise ConnectionError("the queue does not answer")
        self.code(job.name).unlink(missing_ok=True)
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                ["sh", "-c", SHELL, str(self.code(job.name)), *job.command],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=job.folder,
                env={**os.environ, **job.environment}, start_new_session=True,
            )
        with (self.folder / "starts").open("a") as starts:
            starts.write(f"{job.name} {job.gpus} {job.cpus} {job.alone}\\n")
        self.running[job.name] = process.pid
        return str(process.pid)

    def attach(self, job, handle):
        self.running[job.name] = int(handle)
        return True

    def ended(self):
        found = [name for name in self.running if self.code(name).exists()]
        for name in found:
            del self.running[name]
        return [JobEnd(name, int(self.code(name).read_text() or 0)) for name in found]

    def stop(self, names):
        for name in names:
            os.killpg(self.running[name], signal.SIGTERM)

    def code(self, name):
        return self.folder / f"{name}.code"
'''


@pytest.fixture
def site(install_plugin) -> Path:
    return install_plugin("kd-tiny", {"plugin": PLUGIN, "code": CODE, "options": OPTIONS})


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for number, name in enumerate(("dark", "light")):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for shade in range(8):
                Image.new("RGB", (16, 16), (100 * number + shade,) * 3).save(folder / f"{shade}.png")
    path = tmp_path / "base.json"
    values = {
        "data": {"dataset": "photos", "image_size": 16, "workers": 0, "eval_split": "val"},
        "student": {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}},
        "distiller": "vanilla",
        "train": {"epochs": 2, "batch_size": 8},
    }
    path.write_text(json.dumps(values))
    return path


def test_the_jobs_of_a_killed_comparison_are_found_again(
    site: Path, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "runs" / "compare-base"
    arguments = ["compare", str(spec), "--launcher", "tiny", "--seeds", "1"]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kdcore", *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        until = time.monotonic() + 240
        while not (folder / "jobs.json").exists() and process.poll() is None:
            assert time.monotonic() < until, "it takes too long"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said

    attach = Jobs._attach

    def attach_and_let_go(self, job):
        found = attach(self, job)
        assert found
        (folder / "launcher" / "vanilla-seed0.code.go").touch()
        return found

    monkeypatch.setattr(Jobs, "_attach", attach_and_let_go)
    result = kd_compare.compare(spec, launcher="tiny", seeds=1, quiet=True)
    assert (result.status, result.launcher, result.jobs) == ("finished", "tiny", 1)
    assert result.methods[0].finished == 1
    assert (folder / "launcher" / "starts").read_text() == "vanilla-seed0 1 1 False\n"
    assert json.loads((folder / "jobs.json").read_text()) == {}
    run = RunDirectory(folder / "runs" / "vanilla-seed0")
    assert not (run.path / "report.html").exists()
    assert len(json.loads((run.path / "environment.json").read_text())["starts"]) == 1


def test_an_exception_of_a_launcher_ends_the_comparison_and_names_the_plugin(site: Path, spec: Path):
    with pytest.raises(
        RunFailed, match=r"launcher 'tiny' of plugin kd-tiny 1.2 failed in start\(\)"
    ) as caught:
        kd_compare.compare(spec, launcher="tiny", launcher_options=["fail=true"], seeds=1, quiet=True)
    assert "ConnectionError: the queue does not answer (code.py" in str(caught.value)
