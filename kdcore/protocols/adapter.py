"""What a feature adapter is, and what it may be in addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from kdcore.protocols.model_info import StageInfo
    from kdcore.protocols.stage import Stage
    from kdcore.protocols.values import FeatureMap, ModelOutput


@runtime_checkable
class FeatureAdapter(Protocol):
    """Knows one model family: its stages, and how to get everything in one forward pass.

    An adapter holds no state of a model: one instance may serve several. Its class is called without arguments.
    `PreparesModel`, `GivesMaps` and `GivesTail` are optional: an adapter that has their method is used with it.
    """

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1..4 at this input size `(height, width)`."""
        ...

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """One pass: logits equal to `model(images)`, the maps of `stages` (1..4), the embedding if requested."""
        ...


@runtime_checkable
class PreparesModel(Protocol):
    """An adapter that computes what depends on the model before the first pass."""

    def prepare(self, model: nn.Module) -> None:
        """Called once for each model, before the first pass and outside of `torch.compile`."""
        ...


@runtime_checkable
class GivesTail(Protocol):
    """An adapter that can run the layers after a stage alone, for `ModelInfo.tail`."""

    def tail(self, model: nn.Module, stage: int) -> nn.Module:
        """A module that is called as `(feature, embedding=False, stages=())` and returns a `ModelOutput`.

        With the map of `stage` (1..4), its logits are those of a whole pass; `features` has the maps of the later
        `stages` that are requested. It shares the model's modules. If the
        model is frozen, it stays in evaluation mode.
        """
        ...


@runtime_checkable
class GivesMaps(Protocol):
    """An adapter that can stop at the deepest stage that is read, for teachers whose logits are not read."""

    def maps(self, model: nn.Module, images: Tensor, stages: Sequence[Stage]) -> dict[Stage, FeatureMap]:
        """The same maps of `stages` (1..4) as `forward` gives; what comes after the deepest of them does not run."""
        ...
