"""The two classifiers of distilled transformers: one learns from the labels, the other one from the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import Tensor, nn


def set_distilled_training(model: nn.Module) -> None:
    """From now on the model gives the logits of both classifiers in training mode, if it has two.

    In evaluation mode it still gives their mean. Models of timm have the method `set_distilled_training`.
    """
    own = getattr(model, "set_distilled_training", None)
    if callable(own):
        own(True)


def split_logits(given: object, model: nn.Module) -> tuple[Tensor, Tensor | None]:
    """The logits, and those of the second classifier, from what a model returned: one tensor, or a pair in training.

    Only a model with the method `set_distilled_training` returns such a pair: others return something else as a pair.
    """
    pair = isinstance(given, tuple | list) and len(given) == 2 and model.training
    if pair and callable(getattr(model, "set_distilled_training", None)):
        first, second = cast("tuple[Tensor, Tensor]", given)
        return first, second
    return cast("Tensor", given), None
