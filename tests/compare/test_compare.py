"""A comparison as a user runs it, with processes of their own: killed, and called again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kd_compare
import pytest

from kdcore.cli import main
from kdcore.rundir.directory import RunDirectory

EPOCHS = 10
NARROW = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
# after an epoch, a run of the first comparison waits until it is asked to stop
HOLD = """
import signal, time

from kdcore import hookimpl

PLUGIN_API = 1

@hookimpl
def kd_epoch_ended(run, metrics):
    asked, end = signal.getsignal(signal.SIGTERM).__self__, time.monotonic() + 600
    while asked.signal is None and time.monotonic() < end:
        time.sleep(0.02)
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    augment = {"hflip": 0.0, "padding": 1}
    data = {"dataset": "digits", "image_size": 16, "train_samples": 40, "eval_samples": 40, "workers": 0}
    spec = {
        "data": {**data, "augment": augment},
        "teacher": NARROW,
        "student": NARROW,
        "distiller": "vanilla",
        "train": {"epochs": EPOCHS, "batch_size": 10},
        "teacher_cache": {"augmentations": 1},
    }
    path = tmp_path / "base.json"
    path.write_text(json.dumps(spec))
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of a plugin that holds runs; whoever has it in `PYTHONPATH` has the plugin."""
    folder = tmp_path / "site"
    metadata = folder / "kd_hold-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kd-hold\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kdcore]\nkd-hold = kd_hold\n")
    (folder / "kd_hold.py").write_text(HOLD)
    return folder


def wait_for(what, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def test_a_killed_comparison_leaves_checkpoints_and_goes_on(
    base: Path, site: Path, fork_kd: Callable[..., Any], capsys: pytest.CaptureFixture[str]
):
    flags = ["--distillers", "kd", "--seeds", "1", "--jobs", "2"]
    folder = base.parent / "runs" / "compare-base"
    runs = [RunDirectory(folder / "runs" / f"{name}-seed0") for name in ("vanilla", "kd")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join(filter(None, [str(site), environment.get("PYTHONPATH", "")]))
    process = fork_kd("compare", base, *flags, environment={**environment, "PYTHONPATH": path})
    wait_for(lambda: all(run.metrics() for run in runs) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    wait_for(lambda: not any(run.in_use for run in runs))  # the runs end as well
    assert [run.summary()["status"] for run in runs] == ["interrupted"] * 2
    assert [len(run.metrics()) for run in runs] == [1, 1]
    assert json.loads((folder / "comparison.json").read_text())["status"] == "running"
    trained = [run.metrics() for run in runs]

    result = kd_compare.compare(base, distillers="kd", seeds=1, jobs=2, quiet=True)
    assert result.status == "finished"
    assert [(row.label, row.finished) for row in result.methods] == [("vanilla", 1), ("kd", 1)]
    for run, before in zip(runs, trained, strict=True):
        assert len(run.metrics()) == EPOCHS
        assert run.metrics()[: len(before)] == before  # times too: no epoch was trained again
    for row, run in zip(result.runs, runs, strict=True):
        low, high = row.intervals["top1"]
        assert low <= row.top1 <= high
        assert [low, high] == run.summary()["student"]["intervals"]["top1"]
    assert list((folder / "teacher-cache").glob("*/manifest.json"))

    # a run of a comparison, though interrupted, gives what `kd run` gives
    spec = folder / "specs" / "kd-seed0.json"
    alone = fork_kd("run", spec, "--output", base.parent / "alone", environment=environment)
    said = alone.communicate(timeout=300)
    assert alone.returncode == 0, said
    students = [
        path / "student" / "model.safetensors" for path in (runs[1].path, base.parent / "alone" / "kd-seed0")
    ]
    assert students[0].read_bytes() == students[1].read_bytes()

    stamps = [(run.path / "summary.json").stat().st_mtime_ns for run in runs]
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(base), *flags, "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["methods"][1]["finished"] == 1
    assert [(run.path / "summary.json").stat().st_mtime_ns for run in runs] == stamps
