"""Metrics that plugins declare, computed from the logits and labels of an evaluation."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from kdcore.data.special_targets import has_label
from kdcore.entries import MetricEntry
from kdcore.errors import Problem, UserError
from kdcore.plugins.importing import PluginError, guarded
from kdcore.rundir.summary import is_percent
from kdcore.spec.metrics import find_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kdcore.plugins import Plugins, Provided

_OWN: Final = frozenset(("agreements", "epoch", "intervals", "model", "parameters", "ema", "thresholds"))


def is_own(name: str) -> bool:
    """Whether an evaluation or a summary has its own value of this name: such a metric is listed as `plugin/name`."""
    return name in _OWN or name == "best_epoch" or is_percent(name.removeprefix("best_"))


Values = dict[str, float | None]


@dataclass(frozen=True)
class _Metric:
    name: str
    label: str  # for messages: the metric, and its plugin with the version
    function: Callable[[Tensor, Tensor], float]


@dataclass
class Metrics:
    """The metrics of one run.

    A metric that raises an error, or does not return a finite number, has the value None, and is reported once.
    """

    _metrics: Sequence[_Metric]
    _warn: Callable[[str], None]
    _reported: set[str] = field(default_factory=set)

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which values are listed."""
        return tuple(metric.name for metric in self._metrics)

    def __bool__(self) -> bool:
        return bool(self._metrics)

    def __call__(self, logits: Tensor, target: Tensor) -> Values:
        """The values by name.

        Args:
            logits: `[N, K]`.
            target: class indices `[N]`, or with several labels 0 and 1 `[N, K]`; images without a label, or with one
                that is not known, are left out.

        Returns:
            The value of each metric; nothing if no image has a label.
        """
        target = target.cpu()
        labelled = has_label(target) if target.dim() == 1 else (target >= 0).all(dim=1)
        target = target[labelled]
        if not len(target):
            return {}
        chosen = logits.cpu()[labelled].float()
        probabilities = chosen.softmax(dim=1) if target.dim() == 1 else chosen.sigmoid()
        target = target if target.dim() == 1 else target.long()
        return {metric.name: self._value(metric, probabilities, target) for metric in self._metrics}

    def _value(self, metric: _Metric, probabilities: Tensor, target: Tensor) -> float | None:
        wrong: str
        try:
            # its own copies, and its own random numbers: measuring a run must not change it
            with guarded(""), torch.no_grad(), torch.random.fork_rng(devices=[]):
                value = float(metric.function(probabilities.clone(), target.clone()))
            if math.isfinite(value):
                return value
            wrong = f"it returned {value}"
        except PluginError as broken:
            wrong = broken.error
        if metric.name not in self._reported:
            self._reported.add(metric.name)
            self._warn(f"{metric.label}: {wrong}; its value is null")
        return None


def load_metrics(
    names: Sequence[str] | None, plugins: Plugins, warn: Callable[[str], None], *, task: str = "classes"
) -> Metrics:
    """The metrics of an evaluation, with their code imported.

    Args:
        names: as in a spec's `metrics`; None: every metric of the installed plugins that is for the task.
        plugins: where they are declared.
        warn: receives a line for each metric that cannot be used, if `names` is None.
        task: what the labels are.

    Raises:
        UserError: a named metric does not exist, is for another task, or cannot be imported.
    """
    if names is None:
        found = [item for item in plugins.all(MetricEntry) if task in item.entry.tasks]
    else:
        found = find_metrics(names, plugins, task=task)
    count = Counter(item.entry.name for item in found)
    loaded = []
    for number, item in enumerate(found):
        clash = count[item.entry.name] > 1 or is_own(item.entry.name)
        name = item.qualified if clash else item.entry.name
        try:
            function = plugins.load(item, f"metrics[{number}]")
            if not callable(function):
                raise UserError(
                    Problem(f"metrics[{number}]", f"{_label(item)}: {item.entry.target} cannot be called")
                )
        except UserError as error:
            if names is not None:
                raise
            for problem in error.problems:
                warn(f"{problem.message}; it is left out")
            continue
        loaded.append(_Metric(name, _label(item), function))
    return Metrics(loaded, warn)


def _label(item: Provided[MetricEntry]) -> str:
    return f"metric '{item.entry.name}' of plugin {item.plugin.label}"
