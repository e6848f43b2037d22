"""The plugins whose code decides a run's result are in the fingerprint of its checkpoints."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from kdcore.entries import DatasetEntry, MetricEntry, ModelEntry
from kdcore.plugins.records import Provided
from kdcore.run import fingerprint
from kdcore.spec.models import RunSpec


def test_they_are_those_of_models_the_dataset_transforms_and_the_metric_that_chooses():
    def provided(kind, name, plugin):
        entry = kind(name=name, summary="One.", target="pkg.file:thing")
        return Provided(entry, SimpleNamespace(name=plugin))

    entries = {
        DatasetEntry: (provided(DatasetEntry, "stars", "sky"),),
        ModelEntry: (provided(ModelEntry, "net", "nets"), provided(ModelEntry, "wide", "others")),
        MetricEntry: (provided(MetricEntry, "kappa", "measures"),),
    }
    names = ("sky", "nets", "others", "measures", "cut")
    plugins = SimpleNamespace(
        infos=[SimpleNamespace(name=name, value=f"kd_{name}.plugin", status="loaded") for name in names],
        all=lambda kind: entries[kind],
    )

    def used(**changes):
        spec = {
            "data": {"dataset": "digits"},
            "student": {"model": "resnet10t"},
            "distiller": "kd",
            **changes,
        }
        spec = RunSpec.model_validate(spec)
        built = SimpleNamespace(name=spec.student.model, transforms=({"name": "cut/half"},))
        student = SimpleNamespace(built=built, module=torch.nn.Linear(2, 2), adapter=None)
        prepared = SimpleNamespace(
            distillation=torch.nn.Linear(2, 2), models=SimpleNamespace(student=student, teachers={})
        )
        found = fingerprint._used(SimpleNamespace(spec=spec), prepared, plugins)
        return {info.name for info in found}

    assert used() == {"cut"}
    assert used(data={"dataset": "stars"}) == {"cut", "sky"}
    assert used(student={"model": "nets/net"}) == used(student={"model": "net"}) == {"cut", "nets"}
    assert used(train={"metric": "kappa"}) == {"cut", "measures"}
