"""Any module's output as a feature map."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kdcore.protocols import FeatureMap


def as_feature_map(output: Any, model: nn.Module, image_size: tuple[int, int], batch: int) -> FeatureMap:
    """The output of a module as a feature map; of several tensors the first.

    - `[B, C, H, W]` stays as it is, `[B, H, W, C]` is permuted. The shape shows which of the two it is: a map has the
      proportions of the image. If both readings have them, the model's own layout (`output_fmt`) decides.
    - `[B, N, C]` tokens: the class and register tokens at the front become the prefix; the others become a map with
      the proportions of the image.
    - `[B, C]` becomes `[B, C, 1, 1]`.

    Raises:
        ValueError: the output cannot be read in any of these ways; the message says why.
    """
    output = first_of(output)
    if not isinstance(output, Tensor):
        raise ValueError(f"it returns {type(output).__name__}, not a tensor")
    shape = tuple(output.shape)
    if output.dim() not in (2, 3, 4) or shape[0] != batch:
        raise ValueError(f"its output {list(shape)} is not [B, ...] of 2 to 4 dimensions")
    if output.dim() == 2:
        return FeatureMap(output[:, :, None, None])
    if output.dim() == 3:
        return _tokens(output, model, image_size)
    if _is_channels_last(shape, image_size, getattr(model, "output_fmt", None)):
        return FeatureMap(output.permute(0, 3, 1, 2))
    return FeatureMap(output)


def first_of(output: Any) -> Any:
    """The first of several outputs, however they are nested."""
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output


def _is_channels_last(shape: tuple[int, ...], image_size: tuple[int, int], layout: object) -> bool:
    first, last = _proportional(shape[2:], image_size), _proportional(shape[1:3], image_size)
    return str(layout) in ("NHWC", "Format.NHWC") if first == last else last


def _proportional(grid: tuple[int, ...], image_size: tuple[int, int]) -> bool:
    height, width = grid
    return abs(height * image_size[1] / image_size[0] - width) <= 1 and max(grid) <= max(image_size)


def _tokens(output: Tensor, model: nn.Module, image_size: tuple[int, int]) -> FeatureMap:
    tokens = output.shape[1]
    declared = getattr(model, "num_prefix_tokens", None)
    # some classes do not declare their class token, others declare one that they add in a later layer
    for prefix in dict.fromkeys((declared if isinstance(declared, int) else 0, 0, 1, 2)):
        grid = _grid(tokens - prefix, image_size)
        if grid is not None:
            spatial = output[:, prefix:].transpose(1, 2).reshape(output.shape[0], -1, *grid)
            return FeatureMap(spatial, output[:, :prefix] if prefix else None)
    raise ValueError(f"its {tokens} tokens do not form a grid with the proportions of the image")


def _grid(tokens: int, image_size: tuple[int, int]) -> tuple[int, int] | None:
    if tokens < 1:
        return None
    height = max(round((tokens * image_size[0] / image_size[1]) ** 0.5), 1)
    for rows in (height, height + 1, height - 1):
        if rows > 0 and tokens % rows == 0 and _proportional((rows, tokens // rows), image_size):
            return rows, tokens // rows
    return None
