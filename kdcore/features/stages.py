"""Choose the feature maps of a network that are stages 1..4."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# the blocks, of 12, after which Hao et al. (NeurIPS 2023) take the stages of a network without levels
DEPTHS = (2, 4, 10, 12)


def stage_indices(reductions: Sequence[int]) -> tuple[int, int, int, int]:
    """The maps that are stages 1..4, by the input's reduction at each map from shallow to deep.

    - One reduction only (ViT, Mixer): blocks 2, 4, 10 and 12 of 12, in proportion to the depth, all different.
    - Four or five maps (most pyramids, dilated ones too): the last four.
    - More maps on four levels or more (VGG, DLA): the last map of each of the last four levels.
    - More maps on two or three levels (CrossViT): in proportion, as with one level.
    - Three maps or fewer (LeViT, PiT, Nest): one stage each, counted from the deepest; the shallowest map
      also stands for the stages before it.

    Only changes between neighbouring reductions count, not their values, because some models state wrong values (with a
    stride-1 stem for example). So a stage is at the same depth for every input size.
    """
    count = len(reductions)
    if count == 0:
        raise ValueError("there are no feature maps")
    if count < len(DEPTHS):
        padded = (0,) * (len(DEPTHS) - count) + tuple(range(count))
        return padded[0], padded[1], padded[2], padded[3]
    ends = [at for at in range(count) if at + 1 == count or reductions[at + 1] != reductions[at]]
    if len(ends) > 1 and count <= 5:
        return count - 4, count - 3, count - 2, count - 1
    if len(ends) >= 4:
        return ends[-4], ends[-3], ends[-2], ends[-1]
    chosen: list[int] = []
    for depth in DEPTHS:
        block = (2 * count * depth + 12) // 24  # count * depth / 12, half rounded up
        chosen.append(max(block - 1, chosen[-1] + 1 if chosen else 0))
    return chosen[0], chosen[1], chosen[2], chosen[3]
