"""The feature adapter of all networks here."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from kdcore import FeatureMap, ModelOutput, Problem, Stage, StageInfo, UserError
from torch import nn

from kd_cifar_models.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class CifarAdapter:
    """Stages 1 to 4 as each network names them, and the pooled features in front of its classifier."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1 to 4 at this input size `(height, width)`.

        Raises:
            UserError: the model is not one of this plugin.
        """
        network = _known(model)
        channels = network.stage_channels
        return tuple(
            StageInfo(stage, channels[stage - 1], network.grid(image_size, stage)) for stage in (1, 2, 3, 4)
        )

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """One pass; raises UserError if the model is not one of this plugin."""
        network = _known(model)
        maps = network.maps(images)
        vector = network.embed(maps[3])
        return ModelOutput(
            network.classify(vector),
            {stage: FeatureMap(maps[cast("int", stage) - 1]) for stage in stages},
            vector if embedding else None,
        )

    def tail(self, model: nn.Module, stage: Stage) -> nn.Module:
        """The classifier on a map of stage 4.

        Raises:
            UserError: the stage is another one, or the model is not one of this plugin.
        """
        if stage != 4:
            message = f"the layers of {type(model).__name__} after stage {stage} cannot be run alone"
            raise UserError(Problem("", message, allowed="stage 4"))
        return _Tail(_known(model))


class _Tail(nn.Module):
    """What comes after stage 4."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, feature: FeatureMap | Tensor, embedding: bool = False) -> ModelOutput:
        """`[B, C, H, W]` -> its logits."""
        vector = self.network.embed(feature.map if isinstance(feature, FeatureMap) else feature)
        return ModelOutput(self.network.classify(vector), {}, vector if embedding else None)


def _known(model: nn.Module) -> Network:
    if not isinstance(model, Network):
        raise UserError(
            Problem(
                "", f"{type(model).__name__} is not a network of kd-cifar-models", hint="leave out 'adapter'"
            )
        )
    return model
