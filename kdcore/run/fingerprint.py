"""The inputs other than the spec that a run's result depends on, as digests that are kept in checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.data.fingerprint import split_fingerprint
from kdcore.entries import DatasetEntry
from kdcore.plugins.code import code_digest
from kdcore.version import installed_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.distill.splits import Splits
    from kdcore.plugins import PluginInfo, Plugins
    from kdcore.run.prepare import Prepared
    from kdcore.spec.load import LoadedSpec

Fingerprint = dict[str, Any]
LIBRARIES: Final = ("torch", "timm", "torchvision", "pillow", "numpy")
"""Libraries whose version may change how results are rounded."""


def fingerprint(
    loaded: LoadedSpec,
    prepared: Prepared,
    splits: Splits,
    plugins: Plugins,
    device: torch.device,
    processes: int,
) -> Fingerprint:
    """JSON-ready digests of the teachers, the images, the plugins in use, and the machine."""
    return {
        "teachers": {
            name: {
                "model": teacher.built.name,
                "weights": teacher.weights,
                "image_size": list(teacher.built.input.image_size),
                "mean": list(teacher.built.input.mean),
                "std": list(teacher.built.input.std),
            }
            for name, teacher in prepared.models.teachers.items()
        },
        "student": {
            "image_size": list(prepared.models.input.image_size),
            "mean": list(prepared.models.taken.mean),
            "std": list(prepared.models.taken.std),
            "interpolation": prepared.models.input.interpolation,
            "crop_pct": prepared.models.input.crop_pct,
        },
        "train": split_fingerprint(splits.train).as_dict(),
        "eval": None if splits.eval is splits.train else split_fingerprint(splits.eval).as_dict(),
        "plugins": {
            info.name: {
                "distribution": info.distribution,
                "version": info.version,
                "code": code_digest(info.value),
            }
            for info in _used(loaded, prepared, plugins)
        },
        "machine": {
            "device": device.type,
            "name": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "threads": torch.get_num_threads() if device.type == "cpu" else None,
            "processes": processes,
            "libraries": {name: installed_version(name) for name in LIBRARIES},
        },
    }


def _used(loaded: LoadedSpec, prepared: Prepared, plugins: Plugins) -> Iterator[PluginInfo]:
    """The plugins whose code this run calls: those of its distillers, adapters, models, transforms and dataset."""
    distillation, models = prepared.distillation, prepared.models
    placed = (models.student, *models.teachers.values())
    parts = (
        *distillation.modules(),
        *(part for model in placed for part in (model.module, model.adapter)),
    )
    packages = {_package(type(part).__module__) for part in parts}
    datasets = {
        provided.plugin.name
        for provided in plugins.all(DatasetEntry)
        if loaded.spec.data.dataset in (provided.entry.name, provided.qualified)
    }
    named = {one["name"].partition("/")[0] for one in models.student.built.transforms}
    for info in plugins.infos:
        used = _package(info.value) in packages or info.name in datasets or info.name in named
        if info.status == "loaded" and used:
            yield info


def _package(module: str) -> str:
    return module.partition(":")[0].strip().partition(".")[0]
