"""A model with its feature adapter and the images that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdcore.errors import Problem, UserError
from kdcore.features import find_adapter, model_info
from kdcore.features.timm import is_encoder_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from kdcore.plugins import Plugins
    from kdcore.protocols import FeatureAdapter, ModelInfo


@dataclass(frozen=True, kw_only=True)
class AdaptedModel:
    """A student or a teacher for `Distillation`, if more than the module has to be given.

    Attributes:
        model: the model.
        adapter: its feature adapter; None: found by the model's class.
        images: turns the images that are given, `[B, C, H, W]`, into those of the model; None: they are the same.
        channels: the channels of the images that it takes; None: those of the `Distillation`.
        image_size: (height, width) of the images that it takes; None: that of the `Distillation`.
        classifier: False for an encoder: what it returns is not taken for logits.
        learns: for a teacher: it is trained together with the student.
    """

    model: nn.Module
    adapter: FeatureAdapter | None = None
    images: Callable[[Tensor], Tensor] | None = None
    channels: int | None = None
    image_size: tuple[int, int] | None = None
    classifier: bool = True
    learns: bool = False

    def info(self, in_chans: int) -> ModelInfo:
        """What distillers may know of it; only of a model that `completed` returned."""
        assert self.adapter is not None
        assert self.image_size is not None
        return model_info(
            model_name(self.model),
            self.model,
            self.adapter,
            self.image_size,
            self.channels or in_chans,
            classifier=self.classifier,
        )


def completed(
    given: nn.Module | AdaptedModel, image_size: tuple[int, int], plugins: Plugins, where: str
) -> AdaptedModel:
    """The model with everything that was not given.

    Raises:
        UserError: two adapters are declared for the model's class, or it is to classify and cannot.
    """
    model = given if isinstance(given, AdaptedModel) else AdaptedModel(model=given)
    if model.classifier and is_encoder_only(model.model):
        message = f"{type(model.model).__name__} is an encoder without a classifier"
        hint = "it can be a teacher of features or embeddings: AdaptedModel(model=..., classifier=False)"
        raise UserError(Problem(where, message, hint=hint))
    return replace(
        model,
        adapter=model.adapter or find_adapter(model.model, None, plugins, where),
        image_size=model.image_size or image_size,
    )


def gives_logits(model: AdaptedModel) -> bool:
    """Whether a model has a classifier: False if that is said of it, or if timm built it with `num_classes=0`."""
    return model.classifier and getattr(model.model, "num_classes", None) != 0


def model_name(model: nn.Module) -> str:
    """The architecture's name if timm gave it one, otherwise the class's."""
    config = getattr(model, "pretrained_cfg", None) or {}
    return config.get("architecture") or type(model).__name__
