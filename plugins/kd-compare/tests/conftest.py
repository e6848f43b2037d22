from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kd_compare.result import ComparisonResult, MethodRow, RunRow
from kd_compare.statistics import deviation, mean, paired_gain


def _result(scores: dict[str, list[float]], **changes: Any) -> ComparisonResult:
    rows, runs = [], []
    base = dict(enumerate(scores["vanilla"])) if "vanilla" in scores else None
    for label, values in scores.items():
        gain = None if base is None or label == "vanilla" else paired_gain(dict(enumerate(values)), base)
        rows.append(
            MethodRow(
                label,
                label,
                "finished",
                len(values),
                len(values),
                score=mean(values),
                std=deviation(values),
                gain=gain,
                top1=mean(values),
                agreement=80.0,
                images_per_second=1234.5,
                extra_parameters=1000,
                wall_seconds=61.0,
            )
        )
        runs += [
            RunRow(label, seed, f"runs/{label}-seed{seed}", "finished", 3, top1=value)
            for seed, value in enumerate(values)
        ]
    fields: dict[str, Any] = {
        "directory": Path("runs/some"),
        "status": "finished",
        "metric": "top1",
        "baseline": "vanilla" if base else None,
        "seeds": tuple(range(max(map(len, scores.values())))),
        "methods": tuple(rows),
        "runs": tuple(runs),
        "curves": {label: [20.0, 30.0, mean(values) or 0.0] for label, values in scores.items()},
        "teacher": {"model": "big", "parameters": 10**6, "top1": 90.0},
        "student": {"model": "small", "parameters": 10**5},
        "budget": None,
        "epochs": 3,
        "epochs_trained": 3 * len(runs),
        "epochs_planned": 3 * len(runs),
        "jobs": 1,
        "seconds": 100.0,
    }
    return ComparisonResult(**fields | changes)


@pytest.fixture
def make_result() -> Callable[..., ComparisonResult]:
    """A result with these scores of each method's seeds."""
    return _result
