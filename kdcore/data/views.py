"""Views of one image that are augmented by different recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.data.steps import Steps
from kdcore.data.transforms import train_transform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kdcore.data.inputs import InputConfig
    from kdcore.data.steps import Fixed
    from kdcore.spec.models import AugmentSpec, DataSpec


class ViewSteps(Steps):
    """Steps whose random part differs from view to view; they share only the conversion to 8 bits.

    Args:
        parts: the steps of each view.
    """

    def __init__(self, parts: Sequence[Steps]) -> None:
        super().__init__(parts[0].rule, (), parts[0].normalise, None)
        self._parts = tuple(parts)
        self.draws = frozenset().union(*(part.draws for part in parts))

    def of_view(self, view: int) -> Steps:
        """The steps of one view."""
        return self._parts[view]

    def vary(self, fixed: Fixed) -> Tensor:
        """The first view."""
        return self._parts[0].vary(fixed)


def view_transform(data: DataSpec, input: InputConfig, recipes: Sequence[AugmentSpec]) -> Steps:
    """The steps for views that are augmented by these recipes.

    Raises:
        UserError: timm does not accept an `auto_augment`.
    """
    if all(recipe == recipes[0] for recipe in recipes):
        return train_transform(data, input, recipes[0])
    # the images of a batch have one number format: erasing works on normalised ones
    erases = any(recipe.random_erasing > 0 for recipe in recipes)
    parts = [train_transform(data, input, recipe, apart=True, normalised=erases) for recipe in recipes]
    return ViewSteps(parts)
