"""The adapter for models that have no other: it gives only the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.errors import Problem, UserError
from kdcore.protocols import ModelOutput, Stage, StageInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class PlainAdapter:
    """Serves any classifier without an adapter: it gives its logits. Module paths can still be stages."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Raises UserError: it is not known which modules are stages 1..4."""
        raise UserError(_problem(model, "no feature adapter knows its stages 1..4"))

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """The logits; raises UserError if more is requested."""
        if stages:
            raise UserError(_problem(model, "no feature adapter knows its stages 1..4"))
        if embedding:
            raise UserError(_problem(model, "no feature adapter knows its embedding"))
        return ModelOutput(model(images))


def _problem(model: nn.Module, message: str) -> Problem:
    cls = type(model)
    return Problem(
        "",
        f"{cls.__name__} is not a timm model, and {message}",
        hint=f"name a module path such as 'layer3' as the stage, or install a plugin with an adapter for "
        f"{cls.__module__}:{cls.__qualname__}",
    )
