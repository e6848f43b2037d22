"""What a row of the tables says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

EMBEDDING: Final = (512,)
MAP: Final = (256, 14, 14)
NARROW: Final = (64, 8, 8)
TOKENS: Final = (197, 192)


@dataclass(frozen=True)
class Loss:
    """A loss of kd's, its authors' formulation, and what both are called with.

    Attributes:
        target: module and function of kd's.
        formulation: the authors', called with the same arguments.
        options: their keyword arguments.
        shape: of both features, without the batch; None for logits.
        labels: whether they take labels.
        channels: whether they take a trained number for each channel.
        more: gives further arguments by name, for the shape of the features and the number of samples.
        given: makes the features from normal numbers; None: they are these.
        most_classes: the largest number of classes that both can be measured with; None: any.
    """

    target: str
    formulation: Callable[..., Tensor]
    options: dict[str, Any]
    shape: tuple[int, ...] | None = None
    labels: bool = False
    channels: bool = False
    more: Callable[[tuple[int, ...], int], dict[str, Tensor]] | None = None
    given: Callable[[Tensor], Tensor] | None = None
    most_classes: int | None = None
