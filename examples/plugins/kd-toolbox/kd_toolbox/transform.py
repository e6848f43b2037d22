"""`leaky`: every ReLU of the student becomes a leaky one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdcore import Transformed
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore import TransformSetup

    from kd_toolbox.options import LeakyOptions


class Leaky:
    """Replaces the modules; the record has the slope."""

    def __init__(self, options: LeakyOptions) -> None:
        self._slope = options.slope

    def apply(self, model: nn.Module, setup: TransformSetup) -> Transformed:
        """Replace every `nn.ReLU`, and say how many there were."""
        count = _replace(model, self._slope)
        return Transformed(model, {"slope": self._slope}, (f"{count} ReLUs are leaky now",))

    def rebuild(self, model: nn.Module, record: Mapping[str, Any]) -> nn.Module:
        """Replace them again."""
        _replace(model, record["slope"])
        return model


def _replace(model: nn.Module, slope: float) -> int:
    found = [name for name, module in model.named_modules() if isinstance(module, nn.ReLU)]
    for name in found:
        model.set_submodule(name, nn.LeakyReLU(slope))
    return len(found)
