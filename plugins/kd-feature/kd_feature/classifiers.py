"""The classifiers of student and teacher, as distillers use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kdcore import FeatureMap, Problem, UserError

if TYPE_CHECKING:
    from kdcore import ModelInfo

_TOLERANCE = 1e-3  # relative; models may be in half precision


def classifier_of(model: ModelInfo, distiller: str) -> nn.Module:
    """The classifier.

    Raises:
        UserError: the model has none; the message names the distiller.
    """
    if model.classifier is None:
        raise UserError(
            Problem(
                "distiller",
                f"{distiller} reads the classifier, and {model.name} has none that kd can read",
                hint="use a model of timm, or a distiller that does not read it",
            )
        )
    return model.classifier


def classify(classifier: nn.Module, embedding: Tensor) -> Tensor:
    """`[B, D]` -> logits `[B, K]`, also by a classifier that is a 1x1 convolution."""
    weight = getattr(classifier, "weight", None)
    if isinstance(weight, Tensor):
        embedding = embedding.to(weight.dtype)
    if isinstance(classifier, nn.Conv2d):
        embedding = embedding[:, :, None, None]
    logits: Tensor = classifier(embedding)
    return logits.flatten(1)


def class_weights(classifier: nn.Module, distiller: str) -> Tensor:
    """The live weights `[K, C]` of a linear classifier.

    Raises:
        UserError: the classifier is not one linear layer; the message names the distiller.
    """
    weight = getattr(classifier, "weight", None)
    linear = isinstance(classifier, nn.Linear) or (
        isinstance(classifier, nn.Conv2d) and classifier.kernel_size == (1, 1) and classifier.groups == 1
    )
    if not linear or not isinstance(weight, Tensor):
        raise UserError(
            Problem(
                "distiller",
                f"{distiller} reads the weights of a linear classifier, and the classifier is "
                f"{type(classifier).__name__}",
            )
        )
    return weight.flatten(1)


def pools_last_map(model: ModelInfo) -> bool | None:
    """Whether the classifier's input is the mean of stage 4 over its places, as in ResNet: found with one map.

    None: it cannot be found out before training, because the layers after stage 4 cannot be run alone, or because the
    model has no values yet (meta device).
    """
    stage = model.stage(4)
    if stage.prefix_tokens or stage.channels != model.embedding_dim:
        return False
    try:
        tail = model.tail(4)
    except (UserError, ValueError):
        return None
    parameter = next(iter(tail.parameters()), None)
    if parameter is None or parameter.is_meta:
        return None
    count = 2 * stage.channels * stage.grid[0] * stage.grid[1]
    values = torch.arange(count, device=parameter.device, dtype=torch.float32).mul(0.7).sin().abs()
    features = values.view(2, stage.channels, *stage.grid).to(parameter.dtype)
    modes = [(module, module.training) for module in tail.modules()]
    with torch.no_grad():
        embedding = tail.eval()(FeatureMap(features), embedding=True).embedding
    for module, mode in modes:
        module.training = mode
    return embedding is not None and bool(is_mean(features, embedding))


def is_mean(features: Tensor, embedding: Tensor) -> Tensor:
    """Whether the embedding `[B, C]` is the mean of the map `[B, C, H, W]` over its places: a boolean scalar.

    Dropout may have set some of its values to 0 and multiplied the others by one factor.
    """
    means = features.float().mean(dim=(2, 3))
    embedding = embedding.detach().float()
    means = means.detach() * (embedding != 0)
    factor = (embedding * means).sum() / means.square().sum().clamp(min=1e-20)
    apart = (embedding - factor * means).norm()
    tolerance = _TOLERANCE if features.dtype == torch.float32 else 30 * _TOLERANCE
    return torch.le(apart, tolerance * embedding.norm())
