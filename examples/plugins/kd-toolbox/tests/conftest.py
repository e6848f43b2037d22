from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import kdcore
import pytest

HOME = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _no_reports():
    """A test that looks at a report makes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KD_NO_REPORT", "1")
        yield


@pytest.fixture(scope="session")
def write_specs():
    """Copies the specs of the README into a folder, with fewer images and epochs; returns the path of the main one."""

    def write(folder, **more):
        for name, epochs in (("spec.json", 2), ("specs/teacher.json", 1)):
            spec = json.loads((HOME / name).read_text())
            spec["data"]["options"]["samples"] = 40
            spec["train"] = {"epochs": epochs}
            spec["output"] = str(folder / "runs")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(spec | (more if name == "spec.json" else {})))
        return folder / "spec.json"

    return write


@pytest.fixture(scope="session")
def run(tmp_path_factory, write_specs):
    """The directory of a run of the README's spec."""
    return Path(kdcore.run(write_specs(tmp_path_factory.mktemp("toolbox")), quiet=True).directory)


@pytest.fixture
def kd(tmp_path):
    """Runs `kd` in a process of its own."""

    def call(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "kdcore", *map(str, arguments)],
            env={**os.environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return call
