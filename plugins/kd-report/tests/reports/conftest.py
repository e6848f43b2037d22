"""Runs as the report meets them, without training: files of a run directory, and predictions made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from kdcore.inspect.predictions import Predictions
from kdcore.rundir.directory import RunDirectory

MakeRun = Callable[..., RunDirectory]
MakeOpened = Callable[..., Any]


def _record(epoch: int, epochs: int, teacher: bool, labelled: bool) -> dict[str, Any]:
    done = epoch / epochs
    found: dict[str, Any] = {
        "epoch": epoch,
        "lr": 0.1 * (1 - done) + 1e-4,
        "loss": 5.0 / epoch,
        "task_loss": 2.0 / epoch,
        "terms": {"dkd.tckd": 1.5 / epoch, "dkd.nckd": 1.5 / epoch**0.5} if teacher else {},
        "train": {"top1": 40 + 30 * done, "top5": 90.0} if labelled else {"top1": None, "top5": None},
        "eval": {"top1": 30 + 40 * done, "top5": 80 + 15 * done} if labelled else {},
        "images_per_second": 512.0,
    }
    found["ema"] = {"top1": 20 + 52 * done} if labelled else {}
    if teacher:
        found["eval"]["agreement"] = 35 + 40 * done
    return found


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes the files of a finished run."""

    def make(
        name: str = "pair",
        *,
        classes: int = 10,
        teacher: bool = True,
        labelled: bool = True,
        epochs: int = 12,
        status: str = "finished",
        seed: int = 0,
        top1: float = 70.0,
        **spec: Any,
    ) -> RunDirectory:
        run = RunDirectory(tmp_path / "runs" / name)
        student = {"model": "resnet10t", "pretrained": False, "options": {"channels": [8, 8, 16, 16]}}
        said: dict[str, Any] = {
            "name": name,
            "seed": seed,
            "output": str(tmp_path / "runs"),
            "data": {
                "dataset": "/data/birds",
                "train_split": "train",
                "eval_split": "test",
                "image_size": 32,
            },
            "teacher": {"model": "resnet34", "run": "/specs/teacher.json"} if teacher else None,
            "student": student,
            "distiller": {"name": "dkd", "alpha": 1.0, "beta": 8.0} if teacher else {"name": "vanilla"},
            "task": {"weight": 1.0},
            "train": {"epochs": epochs, "batch_size": 64, "precision": "fp32", "ema": 0.9},
            "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 5e-4},
            "scheduler": {"name": "cosine"},
        }
        run.begin({**said, **spec}, {"kdcore": "0.1.0", "packages": {"torch": "2.9"}})
        run.write_metrics([_record(e, epochs, teacher, labelled) for e in range(1, epochs + 1)])
        summary: dict[str, Any] = {
            "status": status,
            "student": {"model": "resnet10t", "parameters": 78_042, "top1": top1, "top5": 95.0},
            "teacher": {"model": "resnet34", "parameters": 21_300_000, "top1": 90.0, "top5": 99.0},
            "data": {"num_classes": classes, "train_size": 4000, "eval_size": 400, "image_size": [32, 32]},
            "epochs": epochs,
            "wall_seconds": 192.0,
            "images_per_second": 512.0,
        }
        summary["student"] |= {
            "best_top1": top1 + 1,
            "best_epoch": 3,
            "agreement": 75.0,
            "ema": {"top1": 72.0},
        }
        if not labelled:
            summary["student"] = {"model": "resnet10t", "parameters": 78_042, "top1": None, "agreement": 75.0}
            summary["teacher"] |= {"top1": None, "top5": None}
        if not teacher:
            summary["teacher"] = None
            summary["student"]["agreement"] = None
        run.write_summary(summary)
        return run

    return make


class Images(list[int]):
    """Images that are not looked at."""

    stream = False


def predictions(classes: int, images: int, seed: int, labelled: bool = True) -> Predictions:
    """A model that is right more often than not; the images are the same for every seed."""
    shared = torch.Generator().manual_seed(0)
    target = torch.randint(0, classes, (images,), generator=shared)
    own = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=own)
    logits[torch.arange(images), target] += 3.0
    centres = torch.randn(classes, 12, generator=shared)
    embedding = centres[target] + 0.6 * torch.randn(images, 12, generator=own)
    shown = target if labelled else torch.full_like(target, -1)
    return Predictions(logits, shown, torch.arange(images), embedding)


@pytest.fixture
def make_opened() -> MakeOpened:
    """What `open_run` would give, with predictions that are made up."""

    def make(
        run: RunDirectory,
        *,
        classes: int = 10,
        images: int = 400,
        teacher: bool = True,
        labelled: bool = True,
        names: tuple[str, ...] | None = None,
        missing: str | None = None,
        whole: Images | None = None,
        **changes: Any,
    ) -> Any:
        student = predictions(classes, images, 1, labelled)
        guide = predictions(classes, images, 2, labelled) if teacher else None
        source = Images(range(images))
        return SimpleNamespace(
            **{
                "directory": run,
                "student": SimpleNamespace(
                    num_classes=classes, classes=names or tuple(f"class number {k}" for k in range(classes))
                ),
                "teacher": SimpleNamespace(missing=missing),
                "images": SimpleNamespace(whole=whole or source, chosen=source),
                "predict": lambda **keywords: (student, guide),
                "image": lambda position: Image.new("RGB", (32, 32), (position % 256, 90, 40)),
                **changes,
            }
        )

    return make


def spec_of(run: RunDirectory) -> dict[str, Any]:
    """The spec, to change it."""
    found: dict[str, Any] = json.loads((run.path / "spec.json").read_text())
    return found
