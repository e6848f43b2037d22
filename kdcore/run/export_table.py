"""The outputs of a cached teacher as a table of outputs, by the names of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import torch

from kdcore.data.special_targets import was_read
from kdcore.errors import Problem, UserError
from kdcore.run.table_teacher import sample_keys
from kdcore.teacher_cache.table import write_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from accelerate import Accelerator
    from torch import Tensor

    from kdcore.data.train import IndexedTrainData
    from kdcore.distill.splits import Splits
    from kdcore.run.prepare import Prepared
    from kdcore.spec.models import RunSpec
    from kdcore.teacher_cache.cache import TeacherCache

_BLOCK: Final = 1024  # rows that are in memory at once


def check_export(spec: RunSpec) -> None:
    """Check that a table can hold what the cache of a spec does.

    Raises:
        UserError: it has several rows for an image, several teachers, or no logits.
    """
    settings, hint = spec.teacher_cache, "a table has one row of logits for each image"
    if settings is not None and settings.augmentations > 1:
        place = "teacher_cache.augmentations"
        raise UserError(
            Problem(place, "with --table only one can be kept", settings.augmentations, "1", hint=hint)
        )
    if len(spec.members) != 1:
        raise UserError(
            Problem("teacher", f"--table is for one teacher, the spec has {len(spec.members)}", hint=hint)
        )
    if not spec.members[0].spec.classifier:
        raise UserError(
            Problem("teacher.classifier", "an encoder has no logits for --table", False, hint=hint)
        )


def export_table(
    path: Path,
    spec: RunSpec,
    prepared: Prepared,
    splits: Splits,
    cache: TeacherCache,
    accelerator: Accelerator,
) -> int:
    """Write a full cache's logits, and those of the evaluation images, which are computed; returns the rows.

    Raises:
        OSError: the file cannot be written.
    """
    keys = sample_keys(splits.train, spec.data.train_split)
    samples = cast("IndexedTrainData", prepared.train).samples
    names = [keys[samples.source_index(position)] for position in range(len(samples))]
    measured: list[Tensor] = []
    if spec.data.eval_split is not None and not splits.eval.stream:
        read, measured = _evaluated(prepared, accelerator)
        keys = sample_keys(splits.eval, spec.data.eval_split)
        names += [keys[int(position)] for position in read]

    def blocks() -> Iterator[Tensor]:
        for start in range(0, len(samples), _BLOCK):
            found = cache.read(0, torch.arange(start, min(start + _BLOCK, len(samples))))
            assert found is not None  # the cache is full
            assert found.logits is not None
            yield found.logits
        yield from measured

    write_table(path, names, splits.classes, prepared.distillation.num_classes, blocks())
    return len(names)


def _evaluated(prepared: Prepared, accelerator: Accelerator) -> tuple[Tensor, list[Tensor]]:
    """The positions of the evaluation images that can be read, and the teacher's logits for them, batch by batch."""
    (teacher,) = prepared.distillation.teacher_passes.values()
    positions = prepared.eval.positions()
    assert positions is not None
    read: list[Tensor] = []
    logits: list[Tensor] = []
    seen = 0
    for images, target in prepared.eval:
        with accelerator.autocast():
            output = teacher.compute(images.to(accelerator.device, non_blocking=True), whole=True)
        assert output.logits is not None
        whole = was_read(target)
        logits.append(output.logits.float().cpu()[whole])
        read.append(positions[seen : seen + len(target)][whole])
        seen += len(target)
    return torch.cat(read), logits
