"""The values that distillers and adapters exchange with the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from kdcore.protocols.stage import Stage


@dataclass(frozen=True)
class FeatureMap:
    """One stage's features: `map [B, C, H, W]`, and `prefix [B, P, C]` for class and register tokens, or None."""

    map: Tensor
    prefix: Tensor | None = None


@dataclass(frozen=True)
class ModelOutput:
    """The output of one forward pass of a model.

    Attributes:
        logits: `[B, K]`, or None if no distiller reads them.
        features: a feature map for each stage that was requested.
        embedding: `[B, D]`, or None if it was not requested.
        views: with `Requires.views` above 1, the output for each view, this one first; otherwise empty.
        distillation_logits: `[B, K]` of a student's second classifier in training, if a distiller requires it. The
            `logits` are then those of the first classifier; in evaluation they are the mean of both.
        partner: the student's output for another sample of the class, without gradient, if a distiller requires it.
        student_pass: of the student, if a distiller requires it: `student_pass(images, mask=None, *, mask_token=None,
            ema=False)` gives the output of another pass for `[B, C, H, W]`. `mask`, bool `[B, N]`, replaces patches of
            a transformer by `mask_token` `[D]` or zeros. `ema=True`: of the moving average, without gradient.
    """

    logits: Tensor | None
    features: dict[Stage, FeatureMap] = field(default_factory=dict)
    embedding: Tensor | None = None
    views: tuple[ModelOutput, ...] = ()
    distillation_logits: Tensor | None = None
    partner: ModelOutput | None = None
    student_pass: Callable[..., ModelOutput] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Batch:
    """One step's samples.

    Attributes:
        images: `[B, C, H, W]`, normalised for the student.
        target: class indices `[B]` (-1: no label), probabilities `[B, K]` (mixup, cutmix), with several labels an image
            0 and 1 `[B, K]` (-1: not known), or None if there are no labels.
        index: positions in the training set `[B]`, or None if they are not known (streams).
        labelled: which samples have a known label, booleans `[B]`, if some labels of the training set are not known;
            None: all are, or the target is None.
    """

    images: Tensor
    target: Tensor | None
    index: Tensor | None = None
    labelled: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is: `epoch` counts from 0.0 and grows within the epoch, `step` counts optimizer steps from 0."""

    epoch: float
    step: int
    total_steps: int
    total_epochs: int
