"""Which names the installed timm and accelerate know, without importing them: that takes seconds.

Timm's models and optimizers stand in `timm_names.json`, which `python -m kdcore.spec.ask_timm` writes. If another
version of timm is installed, timm is asked. The names that timm and accelerate do not list stand here; a test
compares them with the libraries.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Final

from kdcore.spec import ask_timm

SCHEDULERS: Final = frozenset(
    ("constant", "cosine", "multistep", "none", "plateau", "poly", "rsqrt", "step", "tanh", "wsd")
)
"""Timm's schedulers; with 'none' the learning rate stays as it is."""

TRACKERS: Final = frozenset(
    ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
)
"""Accelerate's trackers of experiments."""


@dataclass(frozen=True)
class TimmModel:
    """A model of timm.

    Attributes:
        name: without the tag of its weights.
        file: the file of timm that defines it, without its suffix.
        weights: the tags of its pretrained weights.
        untrained: the tags that have no weights.
    """

    name: str
    file: str
    weights: tuple[str, ...]
    untrained: tuple[str, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags that may follow its name."""
        return (*self.weights, *self.untrained)


@dataclass(frozen=True)
class TimmOptimizer:
    """An optimizer of timm: the package that it needs next to torch, and whether it needs second derivatives."""

    package: str | None
    second_order: bool


@cache
def models() -> dict[str, TimmModel]:
    """Timm's models by name, without the tags of their weights."""
    return {
        name: TimmModel(name, found["file"], tuple(found["weights"]), tuple(found["untrained"]))
        for name, found in _table()["models"].items()
    }


def deprecated_models() -> dict[str, str]:
    """Old names that timm still takes, each with the new one, which may have a tag."""
    found: dict[str, str] = _table()["deprecated"]
    return found


@cache
def optimizers() -> dict[str, TimmOptimizer]:
    """Timm's optimizers by name."""
    return {name: TimmOptimizer(**found) for name, found in _table()["optimizers"].items()}


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(ask_timm.FILE.read_text(encoding="utf-8"))
    return table if table["timm"] == metadata.version("timm") else ask_timm.ask()
