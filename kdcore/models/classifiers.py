"""The classifiers of a model: the names of their weights, and how large those of a new one are."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

_MOST: Final = 2.0
"""Times torch's standard deviation; the 0.02 that transformers have is less for up to 3,333 inputs."""


def classifier_keys(model: nn.Module) -> tuple[str, ...]:
    """Names of the weights of a model's classifiers."""
    get = getattr(model, "get_classifier", None)
    if not callable(get):
        return ()
    found = get()
    modules = list(found) if isinstance(found, tuple | list) else [found]
    names = {id(module): name for name, module in model.named_modules()}
    keys: list[str] = []
    for module in modules:
        if isinstance(module, nn.Module) and id(module) in names:
            prefix = names[id(module)]
            keys += [f"{prefix}.{name}" for name in module.state_dict()]
    return tuple(keys)


@torch.no_grad()
def limit_classifier(model: nn.Module) -> None:
    """Scale the weights of classifiers down to torch's standard deviation where they are more than twice as large.

    torch draws the weights of a layer with n inputs from U(-1/sqrt(n), 1/sqrt(n)), which has the standard deviation
    1/sqrt(3n). timm's EfficientNets, MobileNets and their relatives draw them from U(-1/sqrt(K), 1/sqrt(K)), as
    TensorFlow's code does, which is meant for K = 1,000 classes: with 10 classes and 1,280 inputs they are eleven times
    as large, and the gradients of such a classifier spoil trained weights in the first steps.
    """
    parameters = dict(model.named_parameters())
    for name in classifier_keys(model):
        weight = parameters.get(name)
        if weight is None or weight.is_meta or weight.dim() < 2:
            continue
        usual = (3 * weight[0].numel()) ** -0.5
        own = float(weight.std(correction=0))
        if own > _MOST * usual:
            weight.mul_(usual / own)
