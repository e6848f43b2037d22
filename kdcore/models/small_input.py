"""The known variants of architectures for 32-px images: what `small_input` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from torch import nn

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE: Final = (32, 32)
"""Input size of a small-input variant if nothing gives another one."""


@dataclass(frozen=True)
class Family:
    """One family's variant: constructor arguments, and a change of the built model if arguments are not enough.

    `change` returns whether it changed anything: such a model is not what timm builds from its name.
    """

    name: str
    modules: tuple[str, ...]  # of timm, whose models it is for
    arguments: dict[str, Any] = field(default_factory=dict)
    change: Callable[[nn.Module], bool] | None = None


def _resnet(net: nn.Module) -> bool:
    """3x3 stride-1 first convolution, no pooling: grids of 32, 16, 8 and 4 at 32 px, as on CIFAR."""
    model: Any = net
    first = model.conv1
    if isinstance(first, nn.Conv2d):
        model.conv1 = nn.Conv2d(first.in_channels, first.out_channels, 3, 1, 1, bias=first.bias is not None)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    else:  # three 3x3 convolutions, of which the first halves
        first[0].stride = (1, 1)
    model.maxpool = nn.Identity()
    _divide_reductions(model, 4)
    return True


def _stem_convolution(model: Any) -> bool:
    """Stride 1 instead of 2 in the first convolution: the last map has 2x2 instead of 1x1 at 32 px."""
    model.conv_stem.stride = (1, 1)
    _divide_reductions(model, 2)
    return True


def _overlapping_stem(model: Any) -> bool:
    """ConvNeXt variants with two stride-2 convolutions for a stem, which `patch_size` does not reach."""
    strided = [m for m in model.stem.modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)]
    for convolution in strided:
        convolution.stride = (1, 1)
    if strided:
        _divide_reductions(model, 4)
    return bool(strided)


FAMILIES: Final = (
    Family("ResNet", ("timm.models.resnet",), change=_resnet),
    Family(
        "MobileNet and EfficientNet",
        ("timm.models.efficientnet", "timm.models.mobilenetv3"),
        change=_stem_convolution,
    ),
    # a patch of 2 would not do: the first stage then halves, and the grids are those of a patch of 4
    Family("ConvNeXt", ("timm.models.convnext",), {"patch_size": 1}, _overlapping_stem),
    Family("ViT and DeiT", ("timm.models.vision_transformer", "timm.models.deit"), {"patch_size": 4}),
    Family(
        "Swin",
        ("timm.models.swin_transformer", "timm.models.swin_transformer_v2"),
        {"patch_size": 2, "window_size": 4},
    ),
)


def family_of(module: str) -> Family | None:
    """The family of the models that a module of timm defines, or None."""
    return next((family for family in FAMILIES if module in family.modules), None)


def require_family(module: str, name: str, where: str) -> Family:
    """The same.

    Raises:
        UserError: there is no known variant; the message lists the families that have one.
    """
    family = family_of(module)
    if family is None:
        raise UserError(
            Problem(
                f"{where}.small_input",
                f"there is no known variant of {name} for small images",
                allowed="models of the families " + "; ".join(family.name for family in FAMILIES),
                hint=f"leave it out, or shape the model yourself with {where}.options",
            )
        )
    return family


def _divide_reductions(model: Any, by: int) -> None:
    for info in model.feature_info:
        info["reduction"] = max(info["reduction"] // by, 1)
