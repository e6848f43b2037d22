"""An image encoder of timm with class embeddings as its classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import timm
import torch
from torch import Tensor, nn

from kd_teachers.class_embeddings import ClassEmbeddings
from kdcore import ModelDescription, ModelOutput, Problem, UserError
from kdcore.inspect import ModelSpec, build_model, find_adapter
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore import FeatureAdapter, Stage, StageInfo


class TextHeadModel(nn.Module):
    """`[B, C, H, W]` -> logits `[B, K]`."""

    kd_description: ModelDescription

    def __init__(self, encoder: nn.Module, classifier: nn.Module, count: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.num_classes = count

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.classifier(self.encoder(images))
        return logits

    def get_classifier(self) -> nn.Module:
        """The class embeddings."""
        return self.classifier


class TextHeadAdapter:
    """The stages are the encoder's; the embedding is what is compared with those of the classes."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1 to 4 of the encoder."""
        return _adapter(model).stages(_encoder(model), image_size)

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """One pass of the encoder and the classifier."""
        output = _adapter(model).forward(_encoder(model), images, stages, False)
        assert isinstance(model, TextHeadModel)
        assert output.logits is not None
        logits = model.classifier(output.logits)
        return ModelOutput(logits, output.features, output.logits if embedding else None)


def _encoder(model: nn.Module) -> nn.Module:
    assert isinstance(model, TextHeadModel)
    return model.encoder


def _adapter(model: nn.Module) -> FeatureAdapter:
    return find_adapter(_encoder(model), None, get_plugins(), "teacher.adapter")


def build(
    num_classes: int,
    in_chans: int,
    *,
    encoder: str,
    path: str,
    pretrained: bool = False,
    checkpoint: str | None = None,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
) -> nn.Module:
    """Timm's image encoder with the class embeddings in a file as its classifier.

    Args:
        num_classes: K; 0: without the classifier, the encoder's output is the embedding.
        in_chans: channels of the images.
        encoder: its name in timm, with the tag of its weights.
        path: the file of class embeddings.
        pretrained: download timm's weights of it.
        checkpoint: a file of its weights.
        logit_scale: factor of the cosines; None: the file's.
        logit_bias: added to the logits; None: the file's, or 0.

    Raises:
        UserError: timm has no such encoder, or the embeddings do not fit.
    """
    given = ClassEmbeddings.read(path, "options.path", logit_scale, logit_bias)
    try:
        config = timm.models.get_pretrained_cfg(encoder)
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(Problem("options.encoder", f"timm has no such model: {error}", encoder)) from error
    if config is None:
        raise UserError(Problem("options.encoder", "timm has no such model", encoder, hint="kd list-models"))
    device = torch.get_default_device()
    built = build_model(
        ModelSpec(model=encoder, pretrained=pretrained, checkpoint=checkpoint),
        num_classes=config.num_classes,  # the projection of an image encoder that was trained with texts
        in_chans=in_chans,
        image_size=None,
        plugins=get_plugins(),
        where="options",
        device="meta" if device.type == "meta" else "cpu",
        keep_classifier=True,
    )
    own = built.model
    width = config.num_classes or int(own.num_features)  # type: ignore[arg-type]  # timm's models have it
    head = given.head(width, None, None)
    model = TextHeadModel(own, head if num_classes else nn.Identity(), given.count if num_classes else 0)
    taken = built.input
    model.kd_description = ModelDescription(
        has_weights=not built.random_weights,
        trainable=False,
        num_classes=given.count,
        class_names=given.names,
        mean=taken.mean,
        std=taken.std,
        image_size=taken.image_size,
        fixed_size=True,
        interpolation=taken.interpolation,
        crop_pct=taken.crop_pct,
        place="options.path",
        warnings=built.warnings,
    )
    return model
