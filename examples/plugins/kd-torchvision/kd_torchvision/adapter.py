"""The feature adapter: the maps before each halving of the grid, in one pass through torchvision's own modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import torch
from kdcore import FeatureMap, ModelOutput, Problem, Stage, StageInfo, UserError
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models
from torchvision.ops import Conv2dNormActivation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STAGES: Final = 4
_ANY = cast("Any", models)  # torchvision has no types


class TorchvisionAdapter:
    """Stages 1 to 4 are the last maps of the last four grids; the embedding is what the last linear layer gets."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1 to 4 at this input size `(height, width)`, by a pass without memory.

        Raises:
            UserError: the model is of no family that is known here.
        """
        parameter = next(model.parameters())
        channels = next(one for one in model.modules() if isinstance(one, nn.Conv2d)).in_channels
        modes = {module: module.training for module in model.modules()}
        model.eval()  # batch norm could not do with a grid of 1x1
        try:
            with torch.no_grad():
                images = torch.zeros(1, channels, *image_size, device=parameter.device, dtype=parameter.dtype)
                found = self.forward(model, images, range(1, _STAGES + 1), False).features
        finally:
            for module, training in modes.items():
                module.training = training
        return tuple(
            StageInfo(stage, features.map.shape[1], (features.map.shape[2], features.map.shape[3]))
            for stage, features in found.items()
        )

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """One pass; raises UserError where the model is of no family that is known here."""
        net: Any = model
        features: dict[Stage, FeatureMap] = {}
        ends = _ends(model)
        number = _STAGES - len(ends)  # of the last stage that has ended
        for name, block in _trunk(model):
            images = block(images)
            if name in ends:
                number += 1
                if number in stages:
                    swapped = isinstance(model, _ANY.SwinTransformer)  # its maps are [B, H, W, C]
                    features[number] = FeatureMap(images.permute(0, 3, 1, 2) if swapped else images)
        vector, last = _head(net, images)
        return ModelOutput(last(vector), features, vector if embedding else None)


def _trunk(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """What the images go through, in order, up to the last map."""
    net: Any = model
    if isinstance(model, _ANY.ResNet):
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            yield name, getattr(net, name)
    elif isinstance(model, _ANY.RegNet):
        yield "stem", net.stem
        yield from net.trunk_output.named_children()
    else:
        yield from net.features.named_children()


def _ends(model: nn.Module) -> list[str]:
    """The names of the modules that end stages: after each the grid shrinks, or the trunk is over."""
    if isinstance(model, _ANY.ResNet):
        return ["layer1", "layer2", "layer3", "layer4"]
    if isinstance(model, _ANY.SwinTransformer):
        return ["1", "3", "5", "7"]
    if not isinstance(model, _FAMILIES):
        name = type(model).__name__
        raise UserError(
            Problem("", f"{name} has no stages here", hint="name module paths, or leave out 'adapter'")
        )
    blocks = list(_trunk(model))
    if isinstance(blocks[-1][1], Conv2dNormActivation | nn.MaxPool2d):
        blocks.pop()  # the last 1x1 convolution, or pooling, belongs to the head
    pairs = zip(blocks, [*blocks[1:], ("", None)], strict=True)
    ends = [name for (name, _), (_, after) in pairs if after is None or _shrinks(after)]
    return ends[-_STAGES:]


def _shrinks(block: nn.Module) -> bool:
    kinds = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d
    return any(one.stride not in (1, (1, 1)) for one in block.modules() if isinstance(one, kinds))


def _head(net: Any, images: Tensor) -> tuple[Tensor, Any]:
    """The last map -> the embedding, and the layer that makes logits of it."""
    if isinstance(net, _ANY.ResNet | _ANY.RegNet):
        return net.avgpool(images).flatten(1), net.fc
    if isinstance(net, _ANY.SwinTransformer):
        return net.flatten(net.avgpool(net.permute(net.norm(images)))), net.head
    if isinstance(net, _ANY.DenseNet):
        return F.adaptive_avg_pool2d(F.relu(images), 1).flatten(1), net.classifier
    if isinstance(net, _ANY.ConvNeXt):
        return net.classifier[:-1](net.avgpool(images)), net.classifier[-1]
    pooled = F.adaptive_avg_pool2d(images, 1) if isinstance(net, _ANY.MobileNetV2) else net.avgpool(images)
    return net.classifier[:-1](pooled.flatten(1)), net.classifier[-1]


_FAMILIES: Final = (
    _ANY.ResNet,
    _ANY.RegNet,
    _ANY.VGG,
    _ANY.DenseNet,
    _ANY.MobileNetV2,
    _ANY.MobileNetV3,
    _ANY.EfficientNet,
    _ANY.ConvNeXt,
    _ANY.SwinTransformer,
)
