from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kd_compare.result import ComparisonResult, MethodRow, RunRow
from kd_compare.statistics import deviation, mean, paired_gains

from kdcore.plugin import get_plugins


def _result(scores: dict[str, list[float]], **changes: Any) -> ComparisonResult:
    rows, runs = [], []
    base = dict(enumerate(scores["vanilla"])) if "vanilla" in scores else None
    others = {label: dict(enumerate(values)) for label, values in scores.items() if label != "vanilla"}
    gains = {} if base is None else paired_gains(others, base)
    for label, values in scores.items():
        rows.append(
            MethodRow(
                label,
                label,
                "finished",
                len(values),
                len(values),
                score=mean(values),
                std=deviation(values),
                gain=gains.get(label),
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
        "launcher": "local",
        "jobs": 1,
        "seconds": 100.0,
    }
    return ComparisonResult(**fields | changes)


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install a distribution with one plugin, whose entry module is `plugin`: its modules by name, and their text."""
    packages = set[str]()

    def install(name: str, modules: dict[str, str], version: str = "1.2") -> Path:
        site, package = tmp_path / "site", name.replace("-", "_")
        metadata = site / f"{package}-{version}.dist-info"
        (site / package).mkdir(parents=True)
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[kdcore]\n{name} = {package}.plugin\n")
        for module, text in {"__init__": "", **modules}.items():
            (site / package / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(site)
        packages.add(package)
        get_plugins.cache_clear()
        return site

    yield install
    get_plugins.cache_clear()
    for module in [module for module in sys.modules if module.partition(".")[0] in packages]:
        del sys.modules[module]


@pytest.fixture
def make_result() -> Callable[..., ComparisonResult]:
    """A result with these scores of each method's seeds."""
    return _result
