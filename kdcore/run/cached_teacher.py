"""The teacher's outputs through the cache: read if they are there, computed and stored if they are not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import torch

from kdcore.errors import Problem, UserError
from kdcore.protocols import FeatureMap, ModelOutput
from kdcore.run.fingerprint import teacher_code
from kdcore.run.views import view_recipes
from kdcore.teacher_cache.cache import TeacherCache
from kdcore.teacher_cache.identity import Identity, TeacherContent, identify
from kdcore.teacher_cache.rows import Rows
from kdcore.teacher_cache.size import check_room, estimate
from kdcore.text import byte_size, counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelerate import Accelerator
    from torch import Tensor

    from kdcore.data.fingerprint import SplitFingerprint
    from kdcore.data.stream import LaneTrainData
    from kdcore.data.train import IndexedTrainData
    from kdcore.distill.distillation import Distillation
    from kdcore.distill.splits import Splits
    from kdcore.distill.teacher_passes import TeacherPasses
    from kdcore.plugins import Plugins
    from kdcore.run.prepare import Prepared
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.members import Member

OWN_FOLDER = "teacher-cache"  # in the run directory
_SIZES: Final = 8


class CachedTeacher:
    """Replaces the teacher in the training steps.

    A step always gets what the cache holds, even if it was computed for this step. So the numbers do not depend on
    whether the cache was filled before, and a resumed run is bit-equal to one that was not killed.

    Args:
        cache: the teacher's.
        teacher: its passes.
        accelerator: of the run.
        in_part: of a batch of which some rows are there, only the others are computed. Where each image is drawn once
            an epoch, this happens after a kill alone, and the whole batch gives the bits of before.
    """

    def __init__(
        self, cache: TeacherCache, teacher: TeacherPasses, accelerator: Accelerator, *, in_part: bool = False
    ) -> None:
        self.cache = cache
        self._teacher = teacher
        self._accelerator = accelerator
        self._in_part = in_part

    def __call__(self, epoch: int, images: Tensor, index: Tensor) -> ModelOutput:
        """The teacher's output for a batch.

        Args:
            epoch: the epoch, or the augmentation.
            images: `[B, C, H, W]` as the student sees them, on the device.
            index: positions in the training set, or keys of a stream's samples `[B]`, on the CPU.
        """
        stored = self.cache.read(epoch, index)
        if stored is None:
            places = self.cache.missing_of(epoch, index) if self._in_part else None
            if places is not None:
                images = images[_rounded_up(places, len(images)).to(images.device)]
            with self._accelerator.autocast():
                live = self._teacher.compute(images, whole=True)
            stored = self.cache.write(epoch, index, live, places)
        return _moved(stored, self._accelerator.device)


def _rounded_up(places: Tensor, batch: int) -> Tensor:
    """Places, and the first of the batch until there are as many as one of at most `_SIZES` numbers, above 0.

    There are none if another process has filled the rows meanwhile.
    """
    step = -(-batch // _SIZES)
    steps = max(-(-len(places) // step), 1)
    return torch.cat([places, places.new_zeros(min(steps * step, batch) - len(places))])


def cache_folder(loaded: LoadedSpec) -> Path:
    """The folder of the spec's caches: a shared one, or one in the run directory."""
    settings = loaded.spec.teacher_cache
    assert settings is not None
    return Path(settings.folder) if settings.folder else loaded.directory.path / OWN_FOLDER


def rows_of(distillation: Distillation, teacher: TeacherPasses) -> Rows:
    """What the run's distillers read of a teacher's outputs."""
    info = teacher.info
    return Rows(
        num_classes=distillation.num_classes if info.has_logits else 0,
        embedding_dim=info.embedding_dim if teacher.requires.teacher_embedding else None,
        stages=tuple(info.stage(stage) for stage in teacher.stages),
        views=distillation.requires.num_views,
    )


def identity_of(
    loaded: LoadedSpec, prepared: Prepared, member: Member, plugins: Plugins, files: SplitFingerprint
) -> Identity:
    """Everything that the outputs of a teacher depend on.

    Args:
        loaded: the spec.
        prepared: the run's models and data.
        member: the teacher.
        plugins: those that are loaded.
        files: the fingerprint of the training images.

    Raises:
        RunFailed: an image cannot be read.
    """
    teacher = prepared.models.teachers[member.name]
    train = cast("IndexedTrainData | LaneTrainData", prepared.train)  # other streams have no cache
    views = view_recipes(loaded.spec.data, prepared.distillation)
    content = TeacherContent(teacher.built, teacher.weights, teacher_code(teacher, plugins))
    return identify(loaded.spec, member.spec, content, prepared.models.input, train, files, views)


def check_cache(loaded: LoadedSpec, prepared: Prepared, splits: Splits) -> str:
    """Check before training that caches can be kept. Returns a line that says how large they get.

    Raises:
        UserError: the distillers or the data do not allow it, or the disk cannot hold it.
    """
    settings = loaded.spec.teacher_cache
    assert settings is not None
    distillation = prepared.distillation
    problem = None
    stream = splits.train.stream
    if stream and not prepared.train.keyed:
        message = (
            f"the reader of {loaded.spec.data.dataset} shuffles by itself and does not say which samples it gives, and "
            "the cache finds outputs by sample"
        )
        hint = "remove teacher_cache from the spec, or read shards of the images: 'hfids/...', 'wds/', 'parquet/'"
        raise UserError(Problem("teacher_cache", message, hint=hint))
    if not distillation.requires.teacher:
        problem = "no distiller of this run reads the teacher"
    if problem is not None:
        raise UserError(Problem("teacher_cache", problem, hint="remove teacher_cache from the spec"))
    samples, folder, size = prepared.train.size or 0, cache_folder(loaded), 0
    if stream:  # 0 if it does not report them; then the size for each sample is known
        samples = getattr(splits.train, "reported", 0)
    for teacher in distillation.teacher_passes.values():
        if teacher.is_read:
            rows = rows_of(distillation, teacher)
            _check_top_k(rows, settings.top_k)
            size += estimate(rows, settings, samples or 1)
    if not any(folder.glob("*/manifest.json")):  # a cache that is there may be the right one
        check_room(folder, size)
    times = counted(settings.augmentations, "augmentation")
    if not samples:
        return f"{byte_size(size)} for {times} of each sample of the stream, in {folder}"
    return f"{byte_size(size)} for {times} of {samples:,} samples, in {folder}"


def _check_top_k(rows: Rows, top_k: int | None) -> None:
    if top_k is not None and rows.num_classes == 0:
        message = "the teacher is an encoder and has no logits"
        raise UserError(Problem("teacher_cache.top_k", message, top_k, "null"))
    if top_k is not None and top_k >= rows.num_classes:
        message = f"the model has {rows.num_classes} logits, so this would keep all of them"
        raise UserError(
            Problem("teacher_cache.top_k", message, top_k, f"1 to {rows.num_classes - 1}, or null")
        )


def open_caches(
    loaded: LoadedSpec,
    prepared: Prepared,
    plugins: Plugins,
    files: SplitFingerprint,
    warn: Callable[[str], None],
) -> dict[str, TeacherCache]:
    """Open the cache of each teacher that is read in the spec's folder, or create it; by the teachers' names.

    Args:
        loaded: the spec.
        prepared: the run's models and data.
        plugins: those that are loaded.
        files: the fingerprint of the training images.
        warn: called with a message about damaged rows.

    Raises:
        UserError: the disk cannot hold it, or it cannot be written.
    """
    settings = loaded.spec.teacher_cache
    assert settings is not None
    caches = dict[str, TeacherCache]()
    with contextlib.ExitStack() as opened:
        for member in loaded.spec.members:
            teacher = prepared.distillation.teacher_passes[member.name]
            if teacher.is_read:
                cache = caches[member.name] = TeacherCache.open(
                    cache_folder(loaded),
                    identity_of(loaded, prepared, member, plugins, files),
                    rows_of(prepared.distillation, teacher),
                    settings,
                    0 if prepared.train.stream else prepared.train.size,
                )
                opened.callback(cache.close)
                cache.warn = warn
        opened.pop_all()  # all could be opened: the caller closes them
    return caches


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
