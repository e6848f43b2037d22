"""The check of an export: its own script loads it, and its logits are compared with the student's on real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from kd_export.script import run_script
from kdcore import RunFailed
from kdcore.inspect import has_label
from kdcore.plugin import PluginError, guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from torch import Tensor

    from kdcore.inspect import RunStudent

IMAGES: Final = 256
"""Images of a check, by default."""
TOLERANCE: Final = 1e-3  # of the largest logit: another order of summation gives 1e-6, a mistake 1e-1
_SMALLEST: Final = 1e-3  # logits below it count as this large: outputs near 0 are rounding errors themselves


@dataclass(frozen=True, kw_only=True)
class ExportCheck:
    """How an export and the run's student differ.

    Attributes:
        images: how many were compared.
        split: of which split.
        largest_difference: between two logits, or numbers of an embedding.
        largest_logit: of the student, in absolute value; for an encoder the largest number of an embedding.
        same_top1: images on which both have the same first class; None for an encoder.
        top1: percent of labelled images that the export gets right; None without labels, or with several an image.
        student_top1: the same for the student.
        labelled: how many have a label.
    """

    images: int
    split: str
    largest_difference: float
    largest_logit: float
    same_top1: int | None
    top1: float | None
    student_top1: float | None
    labelled: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dict(self.__dict__)


@torch.inference_mode()
def check(
    folder: Path,
    student: RunStudent,
    data: Iterable[tuple[Tensor, Tensor]],
    split: str,
    *,
    limit: int | None,
    label: str,
) -> ExportCheck:
    """Compare the export in a folder with the student; the first batch is one image alone.

    Args:
        folder: the export.
        student: the student.
        data: batches of images and targets.
        split: their split.
        limit: the largest number of images.
        label: the exporter, for messages.

    Raises:
        RunFailed: the export cannot be used, gives other shapes or no numbers, or there are no images.
    """
    exported = _loaded(folder, label)
    found = _Comparison(encoder=student.num_classes == 0)
    for batch, target in _first_alone(data):
        if limit is not None:
            batch, target = batch[: limit - found.images], target[: limit - found.images]
        wanted = student.model(batch)
        logits = _used(exported, batch, label)
        if logits.shape != wanted.shape:
            shapes = f"{list(logits.shape)} instead of {list(wanted.shape)}"
            raise RunFailed(f"{label} gives logits of another shape: {shapes}")
        if not wanted.isfinite().all():
            raise RunFailed(
                "the student's own logits are NaN or infinite; --samples 0 exports without a check"
            )
        if not logits.isfinite().all():
            raise RunFailed(f"{label} gives logits that are NaN or infinite, and the student's are not")
        found.add(logits, wanted, target)
        if limit is not None and found.images >= limit:
            break
    if found.images == 0:
        raise RunFailed("there are no images to check the export with; --samples 0 exports without a check")
    return found.result(split)


def require_same(found: ExportCheck, label: str, tolerance: float | None = TOLERANCE) -> None:
    """Raises RunFailed if the logits differ by more than this share of the student's largest one; None: never."""
    if tolerance is None or found.largest_difference <= tolerance * max(_SMALLEST, found.largest_logit):
        return
    what = "embeddings" if found.same_top1 is None else "logits"
    same = ""
    if found.same_top1 is not None:
        same = f", and the first class is the same on {found.same_top1} of {found.images} images"
    raise RunFailed(
        f"{label} gives other {what} than the student: they differ by up to {found.largest_difference:.2g} "
        f"(of {found.largest_logit:.3g}){same}. "
        "Nothing was left behind"
    )


class _Comparison:
    """Sums over batches."""

    def __init__(self, *, encoder: bool) -> None:
        self.encoder = encoder
        self.images = self.same = self.right = self.student_right = self.labelled = 0
        self.difference = self.largest = 0.0

    def add(self, logits: Tensor, wanted: Tensor, target: Tensor) -> None:
        self.difference = max(self.difference, (logits - wanted).abs().max().item())
        self.largest = max(self.largest, wanted.abs().max().item())
        self.images += len(wanted)
        if self.encoder:
            return
        first, student_first = logits.argmax(1), wanted.argmax(1)
        self.same += int((first == student_first).sum())
        if target.dim() == 2:  # several labels an image: there is no top-1
            return
        known = has_label(target)
        self.right += int((first == target)[known].sum())
        self.student_right += int((student_first == target)[known].sum())
        self.labelled += int(known.sum())

    def result(self, split: str) -> ExportCheck:
        return ExportCheck(
            images=self.images,
            split=split,
            largest_difference=self.difference,
            largest_logit=self.largest,
            same_top1=None if self.encoder else self.same,
            top1=100 * self.right / self.labelled if self.labelled else None,
            student_top1=100 * self.student_right / self.labelled if self.labelled else None,
            labelled=self.labelled,
        )


def _loaded(folder: Path, label: str) -> Callable[[np.ndarray[Any, Any]], Any]:
    try:
        with guarded(""):
            return run_script(folder)
    except PluginError as error:
        raise RunFailed(f"{label} was written, and its load.py cannot load it: {error}") from error


def _used(exported: Callable[[np.ndarray[Any, Any]], Any], batch: Tensor, label: str) -> Tensor:
    try:
        with guarded(""):
            return torch.from_numpy(np.array(exported(batch.numpy())))
    except PluginError as error:  # whatever the runtime raises
        size = "one image" if len(batch) == 1 else f"{len(batch)} images"
        raise RunFailed(f"{label} was written and cannot be used on {size}: {error}") from error


def _first_alone(data: Iterable[tuple[Tensor, Tensor]]) -> Iterable[tuple[Tensor, Tensor]]:
    # a graph that was frozen to the batch of its example fails on a batch of one
    for number, (images, target) in enumerate(data):
        if number == 0 and len(images) > 1:
            yield images[:1], target[:1]
            images, target = images[1:], target[1:]
        yield images, target
