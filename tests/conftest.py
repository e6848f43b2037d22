from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdcore.plugins import installers, sources

SpecFile = Callable[..., Path]


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        deeper = (
            isinstance(value, dict)
            and isinstance(merged.get(key), dict)
            and key not in ("distiller", "options")
        )
        merged[key] = _merge(merged[key], value) if deeper else value
    return merged


@pytest.fixture(autouse=True)
def from_an_index_by_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in messages are those for kd from an index, in an activated environment that has pip."""
    monkeypatch.setattr(installers, "_has_pip", lambda: True)
    monkeypatch.setattr(installers, "_pip_is_of_this", lambda: True)
    monkeypatch.setattr(sources, "_origin", lambda: None)


@pytest.fixture
def spec_file(tmp_path: Path) -> SpecFile:
    """Writes a spec that runs in a second: a narrow ResNet on a few digits; keywords change its sections."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")

    def write(name: str = "tiny", **changes: Any) -> Path:
        narrow = {"channels": [8, 8, 16, 16]}
        spec: dict[str, Any] = {
            "data": {
                "dataset": "digits",
                "image_size": 16,
                "train_samples": 40,
                "eval_samples": 50,
                "workers": 0,
                "augment": {"hflip": 0.0, "padding": 1},
            },
            "student": {"model": "resnet10t", "options": narrow},
            "distiller": "vanilla",
            "train": {"epochs": 2, "batch_size": 16},
            "optimizer": {"lr": 0.02},
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(_merge(spec, changes)))
        return path

    return write
