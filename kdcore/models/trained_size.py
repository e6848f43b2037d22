"""The input size that a file of weights was trained at, read from the shapes that depend on it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from kdcore.models.classifiers import classifier_keys
from kdcore.models.key_names import renamed
from kdcore.models.position_grids import POSITIONS, size_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    Size = tuple[int, int]

_USUAL: Final = (224, 384, 256, 448, 336, 192, 288, 160, 128, 112, 96, 64, 48, 32, 512)
_POSITIONS: Final = re.compile(r"pos(ition|itional)?_emb|rel(ative)?_pos|mlp_tokens|linear_tokens|gate\.proj")
"""Names of weights whose shape is a matter of the input size."""


class TrainedSize:
    """Whether the shapes in a file are those of a model at some input size."""

    def __init__(self, weights: Mapping[str, Tensor], build: Callable[[Size], nn.Module], where: str) -> None:
        """`build` makes the model for a size on the meta device; it may raise for sizes that it cannot take."""
        self._weights, self._build, self._where = weights, build, where

    def find(self, asked: Size | None, default: Size) -> Size | None:
        """The size that the weights are for; None where their shapes fit `asked` too, or no size that is known.

        Several sizes may give the same shapes (Swin's tables depend on the window): `asked`, then the model's default
        come first.
        """
        if asked is not None and self._fits(asked):
            return None
        if default != asked and self._fits(default):
            return default
        guess = self._guess(default)
        sizes = ([guess] if guess else []) + [size for size in _USUAL if size != guess]
        for side in sizes:
            if (side, side) not in (asked, default) and self._fits((side, side)):
                return side, side
        # names that only the architecture's own filter knows cannot be compared
        return (guess, guess) if guess and (guess, guess) not in (asked, default) else None

    def _fits(self, size: Size) -> bool:
        model = self._model(size)
        if model is None:
            return False
        own, heads = model.state_dict(), classifier_keys(model)
        weights = renamed(self._weights, own, self._where)
        both = [name for name in own if name in weights and name not in heads]
        if len(both) * 2 < len(own):
            return True  # of other names: nothing can be said
        return all(weights[name].shape == own[name].shape for name in both)

    def _model(self, size: Size) -> nn.Module | None:
        try:
            return self._build(size)
        except Exception:  # each architecture has its own way to refuse a size
            return None

    def _guess(self, default: Size) -> int | None:
        """From the number of position embeddings, compared with how many the model has at its default size."""
        model = self._model(default)
        if model is None:
            return None
        own = model.state_dict()
        for name, value in renamed(self._weights, own, self._where).items():
            last = name.rpartition(".")[2]
            if not POSITIONS.fullmatch(last):
                continue
            mine = next((own[key] for key in own if key.rpartition(".")[2] == "pos_embed"), None)
            if mine is None or mine.dim() != 3 or value.dim() not in (2, 3):
                continue
            side = _side(value.shape[-2], mine.shape[1], default[0])
            if side is not None:
                return side
        return None


def _side(tokens: int, default_tokens: int, default: int) -> int | None:
    """The side of a square input with this number of tokens, where the default side gives `default_tokens`."""
    grid = math.isqrt(default_tokens)
    prefix = default_tokens - grid * grid
    for others in (prefix, 1, 0, 2):
        cells = tokens - others
        if cells > 0 and math.isqrt(cells) ** 2 == cells and default % grid == 0:
            return math.isqrt(cells) * (default // grid)
    return None


def resized(weights: Mapping[str, Tensor], model: nn.Module, where: str) -> list[str]:
    """The weights whose shape was made that of another input size, in words."""
    own = model.state_dict()
    found = renamed(weights, own, where)
    return [
        f"{name} {list(found[name].shape)} -> {list(value.shape)}"
        for name, value in own.items()
        if name in found and found[name].shape != value.shape and _POSITIONS.search(name)
    ]


def size_note(
    weights: Mapping[str, Tensor], model: nn.Module, size: Size, trained: Size | None, where: str
) -> tuple[str, ...]:
    """A warning where weights that depend on the input size were resized, with both sizes and the option."""
    changed = resized(weights, model, f"{where}.checkpoint")
    if not changed and (trained is None or trained == size):
        return ()
    option = size_option(where)
    here = f"{size[0]}x{size[1]}"
    more = f" ({changed[0]}{', ...' if len(changed) > 1 else ''})" if changed else ""
    if trained is None or trained == size:
        return (
            f"{where}.checkpoint: its weights are for another input size than {here}: position embeddings are "
            f"resized{more}. {option} sets the size",
        )
    there = f"{trained[0]}x{trained[1]}"
    advice = f"{option} {trained[0] if trained[0] == trained[1] else list(trained)} keeps them"
    return (
        f"{where}.checkpoint: its weights were trained at {there}, the model runs at {here}: position embeddings "
        f"are resized{more}. {advice}",
    )
