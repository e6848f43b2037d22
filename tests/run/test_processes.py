"""Two processes, weights spread over them or not, train what one process trains; each reads the other's checkpoint."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdcore import run

VIT = {
    "model": "vit_tiny_patch16_224",
    "options": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 4},
}
RESNET = {"model": "resnet10t", "small_input": True, "options": {"channels": [8, 8, 16, 16]}}
SPEC: dict[str, Any] = {
    "data": {"eval_samples": 33, "train_samples": 32},
    "teacher": RESNET,
    "student": VIT,
    "distiller": ["kd", "dist", "rkd", {"name": "crd", "negatives": 8}, "fitnet"],
    "task": {"weight": 1.0},
    "train": {"epochs": 2, "batch_size": 8, "accumulate": 2, "clip_grad": 1.0, "ema": 0.9},
}


@pytest.fixture
def start_together(fork_kd, free_port) -> Callable[..., list[Any]]:
    """Starts the processes of a run, as `torchrun` on each of `processes / on_each` machines does."""

    def start(spec: Path, output: Path, *more: object, processes: int = 2, on_each: int = 2) -> list[Any]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KD_") or k == "KD_NO_REPORT"}
        shared = {
            **inherited,
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(on_each),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
        }
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank % on_each)} for rank in range(processes)]
        run = ("run", spec, "--output", output, *more)
        return [fork_kd(*run, environment={**shared, **rank}, together=True) for rank in ranks]

    return start


@pytest.fixture
def train_together(start_together) -> Callable[[Path, Path], Path]:
    def train(spec: Path, output: Path) -> Path:
        both = start_together(spec, output)
        told = [process.communicate(timeout=400)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], told
        directory = output / spec.stem
        assert json.loads((directory / "environment.json").read_text())["processes"] == 2
        return directory

    return train


def _assert_same(one: Path, other: Path, atol: float = 1e-5, rtol: float = 0) -> None:
    curves = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (one, other)
    ]
    for record, found in zip(*curves, strict=True):
        assert found["terms"] == pytest.approx(record["terms"], abs=1e-4, rel=1e-4)
        assert found["eval"] == record["eval"]
    learned = [f"teachers/{folder.name}" for folder in (one / "teachers").glob("*")]
    names = ["student", *(["student-ema"] if (one / "student-ema").exists() else []), *learned]
    for name in names:
        first, second = (load_file(folder / name / "model.safetensors") for folder in (one, other))
        assert first.keys() == second.keys()
        for key, value in first.items():
            torch.testing.assert_close(second[key], value, atol=atol, rtol=rtol, msg=key)


def test_two_processes_train_what_one_trains(spec_file, tmp_path, train_together):
    teachers = [{"name": "still", **RESNET}, {"name": "peer", **VIT, "learns": True}]
    still = [
        {**({"name": one} if isinstance(one, str) else one), "teacher": "still"} for one in SPEC["distiller"]
    ]
    distillers = [*still, {"name": "dml", "teacher": "peer"}, "average"]
    path = spec_file("vit", **{**SPEC, "teacher": teachers, "distiller": distillers})
    alone = run(path, quiet=True)
    _assert_same(alone.directory, train_together(path, tmp_path / "two"))


def test_two_machines_go_on_with_twice_as_many_processes(spec_file, tmp_path, start_together):
    path = spec_file("vit", **{**SPEC, "distiller": ["kd", "dist", {"name": "crd", "negatives": 8}]})
    alone = run(path, quiet=True)
    for more, processes, on_each in ((("--until", 1), 2, 1), ((), 4, 2)):
        started = start_together(path, tmp_path / "two", *more, processes=processes, on_each=on_each)
        told = [process.communicate(timeout=400)[0] for process in started]
        assert [process.returncode for process in started] == [0] * processes, told
        kept = json.loads((tmp_path / "two" / "vit" / "environment.json").read_text())
        assert kept["processes"] == processes
    _assert_same(alone.directory, tmp_path / "two" / "vit")


def test_two_gradients_over_two_processes(spec_file, tmp_path, train_together):
    dot = {"name": "dot", "lr": 0.02, "delta": 0.09}
    path = spec_file("dot", **{**SPEC, "distiller": ["kd", "rkd"], "optimizer": dot})
    alone = run(path, quiet=True)
    _assert_same(alone.directory, train_together(path, tmp_path / "two"))


def test_two_processes_train_the_encoder_that_one_trains(spec_file, tmp_path, train_together):
    encoders = {"teacher": {**RESNET, "classifier": False}, "student": {**VIT, "classifier": False}}
    path = spec_file("vit", **{**SPEC, **encoders, "distiller": ["rkd", "fitnet"], "task": {"weight": 0.0}})
    alone = run(path, quiet=True)
    assert alone.summary["student"]["knn_top1"] > 0
    _assert_same(alone.directory, train_together(path, tmp_path / "two"))


def test_weights_spread_over_processes(spec_file, tmp_path, train_together):
    path = spec_file("vit", **SPEC)
    alone = run(path, quiet=True)
    train = {**SPEC["train"], "fsdp": "student+teacher", "grad_checkpointing": True}
    path = spec_file("vit", **{**SPEC, "train": train})
    spread = train_together(path, tmp_path / "spread")
    _assert_same(alone.directory, spread)
    for name in (*(folder.name for folder in (spread / "checkpoints").glob("step-*")), "best"):
        assert len(list((spread / "checkpoints" / name / "shards").glob("shard-*.safetensors"))) == 2

    # as if it had been killed in its second epoch: one process goes on from what two have written
    half = tmp_path / "half" / "vit"
    shutil.copytree(spread, half)
    shutil.rmtree(max((half / "checkpoints").glob("step-*")))
    (half / "summary.json").unlink()
    shutil.rmtree(half / "student")
    shutil.rmtree(half / "student-ema")
    _assert_same(alone.directory, run(path, output=half.parent, quiet=True).directory)


def test_a_signal_to_one_process_stops_both_after_the_same_step(spec_file, tmp_path, start_together):
    spec = spec_file(
        **{**SPEC, "teacher": None, "distiller": "vanilla", "train": {"epochs": 10_000, "batch_size": 4}}
    )
    both = start_together(spec, tmp_path / "two")
    directory = tmp_path / "two" / spec.stem
    until = time.monotonic() + 400
    while not (directory / "metrics.jsonl").exists():
        said = [process.communicate(timeout=1) for process in both if process.poll() is not None]
        assert not said, said
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.1)
    both[1].send_signal(signal.SIGTERM)
    told = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [130, 143], told  # the first is stopped by the second
    steps = [re.search(r"stopped by .* after step (\d+); a checkpoint was written", text) for text in told]
    assert all(steps), told
    assert steps[0][1] == steps[1][1]
    assert (directory / "checkpoints").is_dir()


def test_batch_norm_over_processes(spec_file, tmp_path, train_together):
    train = {"epochs": 2, "batch_size": 8, "sync_bn": True}
    # small batches through batch norm are chaotic: at lr 0.005 a rounding grows to 3e-3 in these eight steps
    path = spec_file("bn", **{**SPEC, "student": RESNET, "train": train, "optimizer": {"lr": 0.0005}})
    alone = run(path, quiet=True)
    _assert_same(alone.directory, train_together(path, tmp_path / "two"), atol=1e-4, rtol=1e-3)


def test_nothing_to_spread(spec_file, capsys):
    path = spec_file("kd", distiller="kd", teacher=RESNET, train={"epochs": 1, "fsdp": "student"})
    run(path)
    assert "there is only one process: it holds all weights" in capsys.readouterr().err
