"""Warnings about inputs that leave a network next to nothing to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.features.timm import TimmAdapter, is_timm_model
from kdcore.models.small_input import family_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from torch import nn

    from kdcore.protocols import StageInfo

_LARGE = 128  # from here on no network of timm's is left with a single cell
_measured: dict[Hashable, tuple[StageInfo, ...]] = {}  # a run builds each model twice, first without memory


def size_warnings(
    model: nn.Module,
    name: str,
    module: str,
    size: tuple[int, int],
    small_input: bool,
    where: str,
    made_of: Hashable,
) -> tuple[str, ...]:
    """A warning where the deepest map is 1x1, or a network without levels sees 2x2 patches or fewer.

    `made_of` is all that the model's shapes depend on, besides name, size and variant: models of which it is equal are
    measured once.

    Raises:
        UserError: the model cannot take images of this size, or is not a classifier.
    """
    if max(size) > _LARGE or not is_timm_model(model):
        return ()
    key = (type(model), name, size, small_input, made_of)
    if key not in _measured:
        _measured[key] = TimmAdapter().stages(model, size)
    stages = _measured[key]
    levels = {stage.grid for stage in stages}
    height, width = stages[-1].grid
    pixels = f"{size[0]}x{size[1]} px"
    if len(levels) == 1 and max(height, width) <= 2:
        found = f"{name} sees {pixels} as {height}x{width} patches only"
    elif (height, width) == (1, 1):
        found = f"the deepest feature map of {name} is 1x1 at {pixels}"
    else:
        return ()
    if small_input:
        advice = "larger images ('data.image_size') would leave it more"
    elif family_of(module) is not None:
        advice = f"\"small_input\": true under '{where}' picks its variant for small images"
    else:
        advice = (
            "this architecture has no 'small_input' variant; larger images ('data.image_size') would help"
        )
    return (f"{where}: {found}: {advice}",)
