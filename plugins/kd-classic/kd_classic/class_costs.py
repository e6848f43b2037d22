"""How different two classes are for the teacher, from the weights of its classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdcore.ops import at_least_float32

if TYPE_CHECKING:
    from kdcore import ModelInfo


def classifier_costs(teacher: ModelInfo, classes: int, sharpen: float) -> Tensor:
    """1 - exp(-sharpen * d) `[K, K]`, with d = 1 - the cosine of two classes' rows of the classifier.

    `sharpen` 0 gives d itself.

    Raises:
        ValueError: the teacher has no linear classifier with a row for each class.
    """
    weight = _rows(teacher.classifier, classes)
    if weight is None:
        raise ValueError(
            f"wkd reads the rows of a linear classifier, and {teacher.name} has none with {classes} classes; "
            "use another teacher, or another distiller"
        )
    with torch.no_grad():
        unit = F.normalize(at_least_float32(weight.detach()).flatten(1), dim=1)
        apart = 1 - unit @ unit.T
        return apart if sharpen == 0 else -torch.expm1(-sharpen * apart)


def _rows(classifier: nn.Module | None, classes: int) -> Tensor | None:
    """The weight `[K, ...]` of the last linear layer or convolution with a row for each class."""
    if classifier is None:
        return None
    found = [one for one in classifier.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    return found[-1].weight if found and found[-1].weight.shape[0] == classes else None
