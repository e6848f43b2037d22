"""How different two classes are for the teacher: from the weights of its classifier, or from its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdcore.ops import at_least_float32, full_precision

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
            "use another teacher, the option cost = 'logits', or another distiller"
        )
    with torch.no_grad():
        unit = F.normalize(at_least_float32(weight.detach()).flatten(1), dim=1)
        return _sharpened(1 - unit @ unit.T, sharpen)


def cka_costs(outputs: Tensor, sharpen: float) -> Tensor:
    """1 - exp(-sharpen * d) `[K, K]`, with d = 1 - the linear CKA of two classes.

    The outputs are `[K, n, D]`: the teacher's logits for n samples of each class. The first sample of a class belongs
    to the first of another, and so on. `sharpen` 0 gives d itself.

    Source: `tools/generate_cost_matrix.py` of WKD's authors. Here the products are summed over one sample of each class
    at a time, so that no `[K, n, n]` is stored.
    """
    centred = outputs - outputs.mean(dim=1, keepdim=True)
    products = centred.new_zeros(len(centred), len(centred))
    with full_precision(outputs.device):
        for number in range(centred.shape[1]):
            # the similarity of this sample of each class to all samples of its class, [K, n]
            row = torch.bmm(centred, centred[:, number].unsqueeze(2)).squeeze(2)
            products += row @ row.T
    own = products.diagonal()
    sizes = torch.sqrt(own.unsqueeze(0) * own.unsqueeze(1))
    # a class whose logits are all equal is like no other
    alike = torch.where(sizes > 0, products / sizes, 0.0).fill_diagonal_(1.0)
    return _sharpened(1 - alike, sharpen)


def _sharpened(apart: Tensor, sharpen: float) -> Tensor:
    return apart if sharpen == 0 else -torch.expm1(-sharpen * apart)


def _rows(classifier: nn.Module | None, classes: int) -> Tensor | None:
    """The weight `[K, ...]` of the last linear layer or convolution with a row for each class."""
    if classifier is None:
        return None
    found = [one for one in classifier.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    return found[-1].weight if found and found[-1].weight.shape[0] == classes else None
