"""Which recipe augments each view of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError
from kdcore.spec.models import AugmentSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.distill.distillation import Distillation
    from kdcore.spec.models import DataSpec

_STRONG: Final = {"auto_augment": "rand-m10-n2-p1-mstd101-inc1", "random_erasing": 1.0}
"""Two operations of RandAugment, each of a strength that is drawn evenly, and a box: as FixMatch, whose strong view
multi-level logit distillation takes."""


def view_recipes(data: DataSpec, distillation: Distillation) -> tuple[AugmentSpec, ...]:
    """The recipe of each view: those of `data.views`, otherwise those that the distillers name.

    Raises:
        UserError: `data.views` has another number of recipes than the distillers read views, or a recipe is wrong.
    """
    views, count = distillation.requires.views, distillation.requires.num_views
    if data.views is not None:
        if len(data.views) != count:
            raise UserError(_other_number(len(data.views), count, distillation))
        return data.views
    if isinstance(views, int):
        return (data.augment,) * count
    return tuple(_recipe(view, data.augment, distillation) for view in views)


def _recipe(view: str | Mapping[str, Any], augment: AugmentSpec, distillation: Distillation) -> AugmentSpec:
    if view == "weak":
        return augment
    changes: Any = _STRONG if view == "strong" else view
    try:
        return AugmentSpec.model_validate({**augment.model_dump(), **dict(changes)})
    except ValueError as error:
        who = distillation.who(lambda requires: not isinstance(requires.views, int))
        message = f"{who} a view with the augmentation {view!r}, which is wrong: {error}"
        raise UserError(Problem("distiller", message)) from error


def _other_number(given: int, count: int, distillation: Distillation) -> Problem:
    if count == 1:
        message, hint = "no distiller of this run reads several views of an image", "remove it"
        return Problem("data.views", message, value=given, hint=hint)
    who = distillation.who(lambda requires: requires.num_views == count)
    return Problem("data.views", f"{who} {count} views, and there are recipes for {given}")
