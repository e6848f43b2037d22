"""Which measures `train.metric` may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.entries import MetricEntry
from kdcore.errors import Problem, nearest
from kdcore.rundir.summary import CLASS_MEASURES, LABEL_MEASURES
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.plugins import Plugins
    from kdcore.spec.models import RunSpec


def metric_names(spec: RunSpec, plugins: Plugins) -> list[str]:
    """The measures of each epoch that can decide which one is the best."""
    if not spec.student.classifier:
        labelled = [] if spec.task.kind == NO_LABELS else ["knn_top1"]
        return [*labelled, *(["neighbour_agreement"] if spec.members else [])]
    if spec.task.kind == NO_LABELS:
        return ["agreement"] if spec.members else []
    if spec.task.kind == "labels":
        names = [*LABEL_MEASURES]
    else:
        names = [f"top{k}" for k in dict.fromkeys((1, 5, *spec.task.top_k))] + [*CLASS_MEASURES]
    names += ["map", *(["agreement"] if spec.members else [])]
    provided = [item for item in plugins.all(MetricEntry) if spec.task.kind in item.entry.tasks]
    known = [name for item in provided for name in (item.entry.name, item.qualified)]
    return names + [name for name in known if spec.metrics is None or name in spec.metrics]


def best_epoch_problems(spec: RunSpec, plugins: Plugins) -> Iterator[Problem]:
    """What is wrong with `train.metric`."""
    metric = spec.train.metric
    if metric is None:
        return
    names = metric_names(spec, plugins)
    plain = [name for name in names if "/" not in name]
    if metric not in names:
        allowed = ", or ".join((", ".join(plain), "null")) if plain else "null"
        message = "no evaluation of this run has a measure of this name"
        yield Problem("train.metric", message, metric, allowed, nearest(metric, names))
    elif spec.data.eval_split is None:
        message = "it needs evaluation images, and data.eval_split is null"
        yield Problem("train.metric", message, metric, "null", hint="name a split in data.eval_split")
