"""Transforms that break one rule each."""

from __future__ import annotations

import torch
from torch import nn

from kdcore import Transformed

calls = [0]


class Good:
    """Doubles the classifier's weights."""

    def __init__(self, options):
        pass

    def apply(self, model, setup):
        with torch.no_grad():
            model.fc.weight.mul_(2)
        return Transformed(model, {"factor": 2})

    def rebuild(self, model, record):
        if model.fc.weight.device.type != "meta":
            with torch.no_grad():
                model.fc.weight.mul_(record["factor"])
        return model


class NoOptions(Good):
    def __init__(self):
        pass


class NoRebuild:
    def __init__(self, options):
        pass

    def apply(self, model, setup):
        return Transformed(model, {})


class OtherClasses(Good):
    def apply(self, model, setup):
        return Transformed(self.rebuild(model, {}), {})

    def rebuild(self, model, record):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model.fc = nn.Linear(model.fc.in_features, 3, device=model.fc.weight.device)
        return model


class Forgets(Good):
    def rebuild(self, model, record):
        return model


class ForgetsLayer(Good):
    """The layer has no weights, so only the logits show it."""

    def apply(self, model, setup):
        model.layer1[0].act1 = nn.LeakyReLU(0.2)
        return Transformed(model, {})

    def rebuild(self, model, record):
        return model


class ForgetsDropout(Good):
    def apply(self, model, setup):
        model.drop_rate = 0.5
        return Transformed(model, {})

    def rebuild(self, model, record):
        return model


class OtherSlope(Good):
    """The second time another layer, with the same record and weights."""

    def apply(self, model, setup):
        calls[0] += 1
        model.act1 = nn.LeakyReLU(0.1 * calls[0])
        return Transformed(model, {})


class Unused(Good):
    def apply(self, model, setup):
        return Transformed(self.rebuild(model, {}), {})

    def rebuild(self, model, record):
        model.unused = nn.Parameter(torch.zeros(1, device=model.fc.weight.device))
        return model


class Frozen(Good):
    def apply(self, model, setup):
        return Transformed(self.rebuild(model, {}), {})

    def rebuild(self, model, record):
        return model.requires_grad_(False)


class ReadsValues(Good):
    def rebuild(self, model, record):
        with torch.no_grad():
            model.fc.weight.mul_(record["factor"] if float(model.fc.weight.sum()) < 1e9 else 1)
        return model


class Counts(Good):
    def apply(self, model, setup):
        calls[0] += 1
        return Transformed(super().apply(model, setup).model, {"factor": 2, "call": calls[0]})


class ReturnsModel(Good):
    def apply(self, model, setup):
        return model


class NotJson(Good):
    def apply(self, model, setup):
        return Transformed(model, {"factor": torch.ones(1)})


class ChecksNothing(Good):
    def check_training(self):
        pass
