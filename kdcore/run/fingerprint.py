"""The inputs other than the spec that a run's result depends on, as digests that are kept in checkpoints."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from accelerate.utils import broadcast_object_list

from kdcore.data.fingerprint import split_fingerprint
from kdcore.entries import DatasetEntry, MetricEntry, ModelEntry
from kdcore.models.given import NAME, source_digest
from kdcore.models.transformed import all_transforms
from kdcore.plugins.code import code_digest
from kdcore.version import installed_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator

    from kdcore.data.fingerprint import SplitFingerprint
    from kdcore.distill.models import PlacedModel
    from kdcore.distill.splits import Splits
    from kdcore.plugins import PluginInfo, Plugins
    from kdcore.plugins.records import EntryT
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
    train: SplitFingerprint,
) -> Fingerprint:
    """JSON-ready digests of the teachers, the images, the plugins in use, and the machine.

    Args:
        loaded: the spec.
        prepared: the run's models and data.
        splits: its images.
        plugins: those that are loaded.
        device: where it trains.
        processes: how many there are.
        train: what `train_fingerprint` found.
    """
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
        "train": train.as_dict(),
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
    """The plugins whose code decides the result.

    They are those of its distillers, adapters, models, transforms and dataset, and of the metric of `train.metric`,
    which chooses the epoch that is kept.
    """
    distillation, models = prepared.distillation, prepared.models
    placed = (models.student, *models.teachers.values())
    parts = (
        *distillation.modules(),
        *(part for model in placed for part in (model.module, model.adapter)),
    )
    packages = {_package(type(part).__module__) for part in parts}
    named = {one["name"].partition("/")[0] for one in models.student.built.transforms}
    named |= _owners(plugins, DatasetEntry, {loaded.spec.data.dataset})
    named |= _owners(plugins, ModelEntry, {model.built.name for model in placed})
    named |= _owners(plugins, MetricEntry, {loaded.spec.train.metric})
    for info in plugins.infos:
        used = _package(info.value) in packages or info.name in named
        if info.status == "loaded" and used:
            yield info


def _owners(plugins: Plugins, role: type[EntryT], names: set[str | None]) -> set[str]:
    """The plugins that declare one of these names in a role."""
    return {
        provided.plugin.name
        for provided in plugins.all(role)
        if not names.isdisjoint((provided.entry.name, provided.qualified))
    }


def train_fingerprint(splits: Splits, accelerator: Accelerator) -> SplitFingerprint:
    """The fingerprint of the training images; the main process looks at the files for all processes."""
    found = [split_fingerprint(splits.train) if accelerator.is_main_process else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    (shared,) = found
    assert shared is not None
    return shared


def teacher_code(teacher: PlacedModel, plugins: Plugins) -> dict[str, Any]:
    """JSON-ready digests of the code that computes a teacher's outputs.

    They are those of the plugins that its modules and its transforms are from, of the files of its adapter's classes,
    and for a module object of its classes' source. kdcore has none, because the format of the cache says what it
    computes, and libraries such as timm have none.
    """
    built = teacher.built
    packages = {_package(type(part).__module__) for part in teacher.module.modules()}
    named = {one["name"].partition("/")[0] for one in all_transforms(built)}
    named |= _owners(plugins, ModelEntry, {built.name})
    return {
        "plugins": {
            info.name: code_digest(info.value)
            for info in plugins.infos
            if info.status == "loaded"
            and _package(info.value) != "kdcore"
            and (_package(info.value) in packages or info.name in named)
        },
        "adapter": _files_of(type(teacher.adapter)),
        "source": source_digest(built.model) if built.name == NAME else None,
    }


def _files_of(cls: type) -> str:
    """SHA-256, in hex, of the files of a class and of its bases, without kdcore and the standard library.

    The whole package would be too much: an edit of a method's loss changes no feature of the teacher.
    """
    digest = hashlib.sha256()
    modules = {base.__module__ for base in cls.__mro__}
    for name in sorted(modules):
        if _package(name) != "kdcore" and _package(name) not in sys.stdlib_module_names:
            file = getattr(sys.modules.get(name), "__file__", None)
            digest.update(f"{name};".encode())
            if file is not None and Path(file).is_file():
                digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def _package(module: str) -> str:
    return module.partition(":")[0].strip().partition(".")[0]
