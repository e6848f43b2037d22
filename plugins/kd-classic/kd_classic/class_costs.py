"""How different two classes are for the teacher: from the weights of its classifier, its logits, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors.torch import load_file
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


SUFFIXES: Final = (".pt", ".pth", ".safetensors")


def file_costs(path: str, classes: int, sharpen: float) -> Tensor:
    """1 - exp(-sharpen * d) `[K, K]`, with the distances d of the classes from a file, float32.

    The file holds one tensor `[K, K]`, by `torch.save` or safetensors, such as what `tools/generate_cost_matrix.py` of
    WKD's authors saves. Only the order of the classes says which is which. Distances below 0 cost nothing. `sharpen` 0
    gives d itself.

    Raises:
        ValueError: the file cannot be read, or holds something else; the message names it.
    """
    distances = _only_tensor(path)
    if distances.shape != (classes, classes):
        raise ValueError(
            f"cost_file {path} has a tensor of shape {list(distances.shape)}; it must be {[classes, classes]}, a "
            "row and a column for each class of the data"
        )
    if not distances.is_floating_point() or not distances.isfinite().all():
        raise ValueError(f"cost_file {path} has values that are not finite floating-point numbers")
    # where the models are shapes only, so is this
    return _sharpened(distances.float(), sharpen).to(torch.empty(()).device)


def _only_tensor(path: str) -> Tensor:
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"cost_file {path} has the ending {suffix!r}; allowed: {', '.join(SUFFIXES)}")
    try:
        found: Any = (
            load_file(path) if suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        )
    except Exception as error:  # what torch raises for a damaged file depends on the damage
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"cost_file {path} cannot be read: {reason}") from error
    if isinstance(found, dict) and len(found) == 1:
        (found,) = found.values()
    if not isinstance(found, Tensor):
        what = f"{len(found)} entries" if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"cost_file {path} holds {what}; it must be one tensor [K, K]")
    return found.detach()


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
