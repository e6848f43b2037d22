"""The check of an export: its own script loads it, and its logits are compared with the student's on real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.commands.export.script import run_script
from kdcore.data.special_targets import has_label
from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

    from kdcore.commands.export.students import RunStudent

IMAGES: Final = 256
"""Images of a check, by default."""
_TOLERANCE: Final = 1e-3  # of the largest logit: another order of summation gives 1e-6, a mistake 1e-1


@dataclass(frozen=True)
class ExportCheck:
    """How an export and the run's student differ.

    Attributes:
        images: how many were compared.
        split: of which split.
        largest_difference: between two logits.
        largest_logit: of the student, in absolute value.
        same_top1: images on which both have the same first class.
        top1: percent of labelled images that the export gets right; None without labels.
        student_top1: the same for the student.
        labelled: how many have a label.
    """

    images: int
    split: str
    largest_difference: float
    largest_logit: float
    same_top1: int
    top1: float | None
    student_top1: float | None
    labelled: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dict(self.__dict__)


@torch.inference_mode()
def check(
    folder: Path, student: RunStudent, data: Iterable[tuple[Tensor, Tensor]], split: str, limit: int | None
) -> ExportCheck:
    """Compare the export in a folder with the student, image by image; the first batch is one image alone.

    Raises:
        RunFailed: the export gives no logits, there are no images, or one cannot be read.
    """
    exported = run_script(folder)
    images = same = right = student_right = labelled = 0
    difference = largest = 0.0
    for batch, target in _first_alone(data):
        if limit is not None:
            batch, target = batch[: limit - images], target[: limit - images]
        wanted = student.model(batch)
        try:
            logits = torch.from_numpy(exported(batch.numpy()))
        except Exception as error:  # whatever the runtime raises
            lines = str(error).strip().splitlines() or [type(error).__name__]
            size = "one image" if len(batch) == 1 else f"{len(batch)} images"
            raise RunFailed(f"the export was written and cannot be used on {size}: {lines[0]}") from error
        if logits.shape != wanted.shape:
            shapes = f"{list(logits.shape)} instead of {list(wanted.shape)}"
            raise RunFailed(f"the export gives logits of another shape: {shapes}")
        difference = max(difference, (logits - wanted).abs().max().item())
        largest = max(largest, wanted.abs().max().item())
        first, student_first, known = logits.argmax(1), wanted.argmax(1), has_label(target)
        images += len(batch)
        same += int((first == student_first).sum())
        right += int((first == target)[known].sum())
        student_right += int((student_first == target)[known].sum())
        labelled += int(known.sum())
        if limit is not None and images >= limit:
            break
    if images == 0:
        raise RunFailed("there are no images to check the export with")
    return ExportCheck(
        images,
        split,
        difference,
        largest,
        same,
        100 * right / labelled if labelled else None,
        100 * student_right / labelled if labelled else None,
        labelled,
    )


def require_same(found: ExportCheck, target: str) -> None:
    """Raises RunFailed where an export that is to be the student gives other logits."""
    if found.largest_difference <= _TOLERANCE * max(1.0, found.largest_logit):
        return
    raise RunFailed(
        f"{target} gives other logits than the student: they differ by up to {found.largest_difference:.2g}, "
        f"and the first class is the same on {found.same_top1} of {found.images} images. Nothing was left behind"
    )


def _first_alone(data: Iterable[tuple[Tensor, Tensor]]) -> Iterable[tuple[Tensor, Tensor]]:
    # a graph that was frozen to the batch of its example fails on a batch of one
    for number, (images, target) in enumerate(data):
        if number == 0 and len(images) > 1:
            yield images[:1], target[:1]
            images, target = images[1:], target[1:]
        yield images, target
