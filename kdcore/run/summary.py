"""The content of `summary.json`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import psutil
import torch

from kdcore.models.parameters import count_parameters
from kdcore.rundir.summary import ENCODER_MEASURES, is_percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.run.loop import Training
    from kdcore.run.prepare import Prepared


def summarise(
    training: Training,
    prepared: Prepared,
    status: str,
    error: str | None,
    kept: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The summary of a run.

    Args:
        training: the training of the run.
        prepared: the models and data that it was built from.
        status: `finished`, `paused`, `interrupted` or `failed`.
        error: the reason of a failure, or None.
        kept: epoch and results of the student that is kept; None: those after the last epoch.
    """
    state = training.state
    rates = [record["images_per_second"] for record in state.records]
    summary: dict[str, Any] = {
        "status": status,
        "student": _student(training, prepared, kept),
        "distiller": {"parameters": count_parameters(training.distillation.distillers)},
        "teacher": _teachers(training, prepared),
        "data": {
            "num_classes": training.distillation.num_classes,
            "train_size": None if prepared.train.stream else prepared.train.size,
            "train_labelled": prepared.train.labelled_size,
            "eval_size": prepared.eval.total,
            "image_size": list(prepared.models.input.image_size),
            "train_split": prepared.train_split,
            "eval_split": prepared.eval_split,
            **({} if prepared.test_split is None else {"test_split": prepared.test_split}),
            **({} if training.spec.task.kind == "classes" else {"task": training.spec.task.kind}),
        },
        "epochs": state.epoch,
        "steps": state.step,
        "images_per_second": sum(rates) / len(rates) if rates else None,
        "wall_seconds": training.saver.wall_seconds,
        "peak_memory_bytes": peak_memory(training.accelerator.device),
    }
    if training.tested is not None:
        summary["test"] = training.tested
    if training.skipped is not None:
        summary["skipped"] = training.skipped.counts()
    if state.ended is not None:
        summary["ended_early"] = state.ended
    if state.accepted:
        summary["accepted_changes"] = state.accepted
    if error is not None:
        summary["error"] = error
    return summary


def _student(training: Training, prepared: Prepared, kept: dict[str, Any] | None) -> dict[str, Any]:
    state = training.state
    last: dict[str, Any] = state.records[-1] if state.records else {}
    names = (
        "top1",
        "top5",
        "agreement",
        *_measures(training, tuple(ENCODER_MEASURES)),
        *training.measures.metrics.names,
    )
    found = kept or last.get("eval", {})
    details = found.get("details")
    student = {
        "model": prepared.models.student.built.name,
        **{name: found.get(name) for name in names},
        **_scores(found),
        **(
            {}
            if details is None
            else {"intervals": {name: list(ends) for name, ends in details.intervals.items()}}
        ),
        **(
            {}
            if details is None or details.thresholds is None
            else {"thresholds": details.thresholds.tolist()}
        ),
        "epoch": state.epoch if kept is None else kept["epoch"],
        **{f"best_{name}": value for name, value in state.best.items()},
        "parameters": count_parameters(training.shipped),
    }
    return {**student, "ema": last["ema"]} if "ema" in last else student


def _scores(found: Mapping[str, Any]) -> dict[str, Any]:
    """The measures of an evaluation that not every run has."""
    return {
        name: value
        for name, value in found.items()
        if is_percent(name) and name not in ("top1", "top5", "agreement", *ENCODER_MEASURES)
    }


def _teachers(training: Training, prepared: Prepared) -> dict[str, Any] | list[dict[str, Any]] | None:
    """As in the spec: an object, a list of objects with a name each, or None."""
    found, own = [], _measures(training, ("knn_top1", "probe_top1"))
    for name, placed in prepared.models.teachers.items():
        scores = training.state.teacher_scores.get(name, {})
        if placed.of_student and training.state.records:
            scores = training.state.records[-1].get("ema", {})
        found.append(
            {
                "name": name,
                "model": placed.built.name,
                **{
                    measure: scores.get(measure)
                    for measure in ("top1", "top5", *own, *training.measures.metrics.names)
                },
                **_scores(scores),
                "parameters": placed.built.parameters,
                **({"learns": True} if placed.learns else {}),
                **_averaged(training, name),
                **({"of": "student-ema"} if placed.of_student else {}),
            }
        )
    if len(found) == 1:
        return {key: value for key, value in found[0].items() if key != "name"}
    return found or None


def _averaged(training: Training, name: str) -> dict[str, Any]:
    """What the average of a teacher that learns reached, under `ema`."""
    if name not in training.teacher_averages or not training.state.records:
        return {}
    return {"ema": training.state.records[-1]["teachers"][name]["ema"]}


def _measures(training: Training, names: tuple[str, ...]) -> tuple[str, ...]:
    """The measures of encoders that a run has: those with a student without a classifier."""
    return () if training.measures.encoders is None else names


def peak_memory(device: torch.device) -> int:
    """The peak memory of this process in bytes: on the GPU, or on the machine if there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # not on Windows
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
