"""Weights for other channels than the images have: timm's change of the first layer, and what cannot be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from timm.models import adapt_input_conv

from kdcore.errors import Problem, UserError
from kdcore.models.key_names import renamed
from kdcore.spec.channels import channels_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from kdcore.models.student_config import StudentConfig

_RGB: Final = 3


def check_channels(config: StudentConfig | None, in_chans: int, *, teacher: bool, where: str) -> None:
    """Raises UserError for a teacher from a run whose channels are not those that it gets."""
    if config is None or not teacher or config.in_chans == in_chans:
        return
    own, given = channels_in_words(config.in_chans), channels_in_words(in_chans)
    message = f"its weights take images of {own}, and it gets {given}"
    example = "[0]" if config.in_chans == 1 else str(list(range(config.in_chans)))
    grey = " or 'grey'" if config.in_chans == 1 and in_chans == _RGB else ""
    hint = f"{where}.channels chooses channels of the images, such as {example}{grey}"
    raise UserError(Problem(f"{where}.channels", message, hint=hint))


def with_channels(
    model: nn.Module, weights: Mapping[str, Tensor], in_chans: int, where: str
) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """The weights with those of the first layer for the model's channels, and a warning if they had others.

    This is timm's `adapt_input_conv`: for one channel the sum over the colours, for others the colours in turn. Weights
    that are not for RGB stay as they are.
    """
    own = model.state_dict()
    known = renamed(weights, own, f"{where}.checkpoint")
    changed: dict[str, Tensor] = {}
    for name in _first_layers(model):
        value, wanted = known.get(name), own.get(name)
        if value is None or wanted is None or value.dim() != 4 or value.shape == wanted.shape:
            continue
        if value.shape[1] != _RGB or (value.shape[0], *value.shape[2:]) != (
            wanted.shape[0],
            *wanted.shape[2:],
        ):
            continue
        adapt: Any = adapt_input_conv
        changed[name] = adapt(in_chans, value)
    if not changed:
        return weights, ()
    return {**known, **changed}, (_warning(f"{where}.checkpoint", in_chans, where),)


def surgery(model: nn.Module, in_chans: int, where: str) -> tuple[str, ...]:
    """A warning if timm adapted the pretrained weights of a model to this number of channels."""
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    known = (config.get("input_size") or (_RGB,))[0]
    return () if known == in_chans else (_warning(f"{where}.pretrained", in_chans, where),)


def _warning(place: str, in_chans: int, where: str) -> str:
    how = (
        "the sum over the colours" if in_chans == 1 else "each channel gets the weights of a colour, in turn"
    )
    return (
        f"{place}: its first layer is for RGB, and the images have {channels_in_words(in_chans)}: timm adapts it "
        f"({how}). {where}.channels can choose three of them"
    )


def _first_layers(model: nn.Module) -> tuple[str, ...]:
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    first = config.get("first_conv") or ()
    names = (first,) if isinstance(first, str) else tuple(first)
    return tuple(f"{name}.weight" for name in names)
