"""A comparison through a real Slurm of this machine alone gives the table of the local one; skipped without Slurm.

It takes minutes: set KD_TEST_SLURM=1 where slurm-wlm and munge are installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kd_compare
import pytest

from kdcore import RunDirectory

pytest.importorskip("submitit", reason="the launcher needs the extra 'slurm'")
pytestmark = [
    pytest.mark.skipif(
        shutil.which("slurmctld") is None or shutil.which("munged") is None, reason="Slurm is not installed"
    ),
    pytest.mark.skipif(os.environ.get("KD_TEST_SLURM") != "1", reason="KD_TEST_SLURM is not 1"),
]

NODE = Path(__file__).with_name("slurm_node.sh")
NARROW = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
EPOCHS = 8
METHODS = ("vanilla", "kd", "dkd", "dist")
OPTIONS = {"gpus": 0, "poll": 1.0, "time": "1:00:00"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        done = subprocess.run(["bash", NODE, "start", folder], stdout=subprocess.PIPE, text=True, check=True)
        patch.setenv("SLURM_CONF", done.stdout.strip())
        yield
        subprocess.run(["bash", NODE, "stop", folder], check=True)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    data = {"dataset": "digits", "image_size": 16, "train_samples": 100, "eval_samples": 100, "workers": 0}
    common = {"data": data, "student": NARROW, "train": {"epochs": EPOCHS, "batch_size": 20}}
    folder = tmp_path_factory.mktemp("spec")
    (folder / "teacher.json").write_text(json.dumps({"name": "big", "distiller": "vanilla", **common}))
    path = folder / "base.json"
    path.write_text(json.dumps({"distiller": "kd", "teacher": {**NARROW, "run": "teacher.json"}, **common}))
    return path


@pytest.fixture(scope="module")
def local(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return compare(spec, tmp_path_factory.mktemp("local"), jobs=2)


def compare(spec: Path, output: Path, **more: Any) -> Any:
    return kd_compare.compare(spec, distillers=METHODS, seeds=2, output=output, quiet=True, **more)


def table(result: Any) -> list[tuple[Any, ...]]:
    """What a table shows, apart from times: unrounded."""
    return [
        (row.label, row.score, row.std, row.gain, row.top5, row.agreement, row.scores)
        for row in result.methods
    ]


def weights(result: Any) -> dict[str, bytes]:
    """The students, byte for byte."""
    folder = result.directory / "runs"
    return {
        path.parents[1].name: path.read_bytes() for path in folder.glob("*-seed*/student/model.safetensors")
    }


def began(process: subprocess.Popen[bytes], what: Callable[[], Any]) -> Any:
    """Wait until there is something."""
    until = time.monotonic() + 600
    while not (found := what()):
        assert process.poll() is None, "the comparison has ended"
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.1)
    return found


def numbers(folder: Path) -> dict[str, str]:
    """The number in Slurm of each run."""
    found: dict[str, str] = {}
    for path in (folder / "launcher" / "arrays").glob("*.json"):
        record = json.loads(path.read_text())
        found |= dict(zip(record["names"], record.get("numbers") or (), strict=False))
    return found


def call(spec: Path, output: Path) -> subprocess.Popen[bytes]:
    """The comparison as a process of its own."""
    options = [word for name, value in OPTIONS.items() for word in ("--launcher-option", f"{name}={value}")]
    flags = [
        "--distillers",
        ",".join(METHODS),
        "--seeds",
        "2",
        "--output",
        str(output),
        "--launcher",
        "slurm",
    ]
    command = [sys.executable, "-m", "kdcore", "compare", str(spec), *flags, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_with_runs_requeued_by_force_and_the_call_killed_the_table_is_the_local_one(
    node: None, spec: Path, local: Any, tmp_path: Path
):
    folder = tmp_path / "compare-base"
    runs = {
        name: RunDirectory(folder / "runs" / f"{name}-seed{seed}")
        for name, seed in {"vanilla": 0, "kd": 1}.items()
    }
    with call(spec, tmp_path) as process:
        began(process, runs["vanilla"].metrics)
        # the node takes the task away at once; Slurm waits a little and starts it again
        subprocess.run(["scontrol", "requeue", numbers(folder)["vanilla-seed0"]], check=True)
        began(process, runs["kd"].metrics)
        process.kill()  # the tasks go on
    arrays = numbers(folder)
    assert len({number.partition("_")[0] for name, number in arrays.items() if "teacher" not in name}) == 1
    result = compare(spec, tmp_path, launcher="slurm", launcher_options=OPTIONS)
    assert (result.status, result.launcher) == ("finished", "slurm")
    assert numbers(folder) == arrays  # found again, not submitted again
    assert table(result) == table(local)
    assert weights(result) == weights(local)
    starts = json.loads((runs["vanilla"].path / "environment.json").read_text())["starts"]
    assert len(starts) == 2


def test_a_cancelled_task_is_reported_and_the_next_call_goes_on(
    node: None, spec: Path, local: Any, tmp_path: Path
):
    folder = tmp_path / "compare-base"
    run = RunDirectory(folder / "runs" / "vanilla-seed0")
    with call(spec, tmp_path) as process:
        began(process, run.metrics)
        found = numbers(folder)
        subprocess.run(["scancel", found["vanilla-seed0"], found["dist-seed1"]], check=True)
        said = process.communicate()[0].decode()
    assert process.returncode == 1
    for name in ("vanilla, seed 0", "dist, seed 1"):
        (line,) = [line for line in said.splitlines() if line.startswith(f"failed: {name}")]
        assert "in Slurm" in line or "Slurm does not know it" in line
        assert f"{name.partition(',')[0]}-seed{name[-1]}.log)" in line
    result = compare(spec, tmp_path, launcher="slurm", launcher_options=OPTIONS)
    assert result.status == "finished"
    assert table(result) == table(local)
    assert weights(result) == weights(local)


def test_a_run_that_reaches_its_time_limit_goes_on_from_its_checkpoint(
    node: None, spec: Path, tmp_path: Path
):
    options = {**OPTIONS, "time": 2, "warning": 20}  # Slurm may warn a minute earlier
    call = {
        "overrides": ["teacher=null", "distiller=vanilla", "train.epochs=4000"],
        "launcher_options": options,
    }
    # stopped when the second start has trained something: the comparison itself need not be finished
    code = (
        "import sys, kd_compare; "
        f"kd_compare.compare(sys.argv[1], seeds=1, output=sys.argv[2], launcher='slurm', quiet=True, **{call!r})"
    )
    run = RunDirectory(tmp_path / "compare-base" / "runs" / "vanilla-seed0")

    def starts() -> int:
        path = run.path / "environment.json"
        return len(json.loads(path.read_text())["starts"]) if path.exists() else 0

    with subprocess.Popen([sys.executable, "-c", code, str(spec), str(tmp_path)]) as process:
        began(process, lambda: starts() == 1)
        began(process, lambda: starts() == 2)
        before = len(run.metrics())
        began(process, lambda: len(run.metrics()) > before > 0)
        process.terminate()
    assert [record["epoch"] for record in run.metrics()] == list(range(1, len(run.metrics()) + 1))
    assert (run.summary() or {})["status"] == "interrupted"
