"""The teacher's outputs through the cache: read if they are there, computed and stored if they are not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from kdcore.errors import Problem, UserError
from kdcore.protocols import FeatureMap, ModelOutput
from kdcore.run.views import view_recipes
from kdcore.teacher_cache.cache import TeacherCache
from kdcore.teacher_cache.identity import Identity, identify
from kdcore.teacher_cache.rows import Rows
from kdcore.teacher_cache.size import check_room, estimate
from kdcore.text import byte_size

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from accelerate import Accelerator
    from torch import Tensor

    from kdcore.data.train import IndexedTrainData
    from kdcore.distill.distillation import Distillation
    from kdcore.distill.splits import Splits
    from kdcore.run.prepare import Prepared
    from kdcore.spec.load import LoadedSpec

OWN_FOLDER = "teacher-cache"  # in the run directory


class CachedTeacher:
    """Replaces the teacher in the training steps.

    A step always gets what the cache holds, even if it was computed for this step. So the numbers do not depend on
    whether the cache was filled before, and a resumed run is bit-equal to one that was not killed.
    """

    def __init__(self, cache: TeacherCache, distillation: Distillation, accelerator: Accelerator) -> None:
        self.cache = cache
        self._distillation = distillation
        self._accelerator = accelerator

    def __call__(self, epoch: int, images: Tensor, index: Tensor) -> ModelOutput:
        """The teacher's output for a batch.

        Args:
            epoch: the epoch, or the augmentation.
            images: `[B, C, H, W]` as the student sees them, on the device.
            index: positions in the training set `[B]`, on the CPU.
        """
        stored = self.cache.read(epoch, index)
        if stored is None:
            with self._accelerator.autocast():
                live = self._distillation.forward_teacher(images, whole=True)
            stored = self.cache.write(epoch, index, live)
        return _moved(stored, self._accelerator.device)


def cache_folder(loaded: LoadedSpec) -> Path:
    """The folder of the spec's caches: a shared one, or one in the run directory."""
    settings = loaded.spec.teacher_cache
    assert settings is not None
    return Path(settings.folder) if settings.folder else loaded.directory.path / OWN_FOLDER


def rows_of(distillation: Distillation) -> Rows:
    """What the run's distillers read of the teacher's outputs."""
    info, requires = distillation.teacher_info, distillation.requires
    assert info is not None
    return Rows(
        num_classes=distillation.num_classes if info.has_logits else 0,
        embedding_dim=info.embedding_dim if requires.teacher_embedding else None,
        stages=tuple(info.stage(stage) for stage in requires.teacher_stages),
        views=requires.num_views,
    )


def identity_of(loaded: LoadedSpec, prepared: Prepared) -> Identity:
    """Everything that the outputs of the run's teacher depend on.

    Raises:
        RunFailed: an image cannot be read.
    """
    teacher = prepared.models.teacher
    assert teacher is not None
    train = cast("IndexedTrainData", prepared.train)  # a stream has no cache
    views = view_recipes(loaded.spec.data, prepared.distillation)
    return identify(loaded.spec, teacher.built, teacher.weights, prepared.models.input, train, views)


def check_cache(loaded: LoadedSpec, prepared: Prepared, splits: Splits) -> str:
    """Check before training that a cache can be kept. Returns a line that says how large it gets.

    Raises:
        UserError: the distillers or the data do not allow it, or the disk cannot hold it.
    """
    settings = loaded.spec.teacher_cache
    assert settings is not None
    distillation = prepared.distillation
    problem = None
    if splits.train.stream:
        problem = "the samples of a stream have no positions, and the cache finds outputs by position"
    elif not distillation.requires.teacher:
        problem = "no distiller of this run reads the teacher"
    if problem is not None:
        raise UserError(Problem("teacher_cache", problem, hint="remove teacher_cache from the spec"))
    rows, samples, folder = rows_of(distillation), prepared.train.size or 0, cache_folder(loaded)
    if settings.top_k is not None and rows.num_classes == 0:
        message = "the teacher is an encoder and has no logits"
        raise UserError(Problem("teacher_cache.top_k", message, settings.top_k, "null"))
    if settings.top_k is not None and settings.top_k >= rows.num_classes:
        message = f"the model has {rows.num_classes} logits, so this would keep all of them"
        raise UserError(
            Problem("teacher_cache.top_k", message, settings.top_k, f"1 to {rows.num_classes - 1}, or null")
        )
    size = estimate(rows, settings, samples)
    if not any(folder.glob("*/manifest.json")):  # a cache that is there may be the right one
        check_room(folder, size)
    times = "1 augmentation" if settings.augmentations == 1 else f"{settings.augmentations} augmentations"
    return f"{byte_size(size)} for {times} of {samples:,} samples, in {folder}"


def open_cache(
    loaded: LoadedSpec, prepared: Prepared, splits: Splits, warn: Callable[[str], None]
) -> TeacherCache:
    """Open the cache for these outputs in the spec's folder, or create it.

    Raises:
        UserError: the disk cannot hold it, or it cannot be written.
    """
    settings = loaded.spec.teacher_cache
    assert settings is not None
    cache = TeacherCache.open(
        cache_folder(loaded),
        identity_of(loaded, prepared),
        rows_of(prepared.distillation),
        settings,
        prepared.train.size or 0,
    )
    cache.warn = warn
    return cache


def _moved(output: ModelOutput, device: torch.device) -> ModelOutput:
    if device.type == "cpu":
        return output

    def move(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True)

    features = {
        stage: FeatureMap(move(one.map), None if one.prefix is None else move(one.prefix))
        for stage, one in output.features.items()
    }
    embedding = None if output.embedding is None else move(output.embedding)
    logits = None if output.logits is None else move(output.logits)
    return ModelOutput(logits, features, embedding, tuple(_moved(view, device) for view in output.views))
