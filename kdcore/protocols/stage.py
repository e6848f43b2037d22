"""Where features are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


Stage = int | str
"""Where features are taken: 1..4 from shallow to deep, or text.

`layer3.1.conv2` is the output of that module, `layer3.1.act2:in` is the input of a module, and
`attention:blocks.11.attn` are the weights of an attention, `[B, heads, N, N]`, as the map `[B, C, H, W]`.
"""

STAGES: tuple[int, ...] = (1, 2, 3, 4)


def checked_stages(name: str, given: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages as a tuple.

    Raises:
        ValueError: one of them is not a stage; `name` says whose they are.
    """
    stages = tuple(given)
    for stage in stages:
        if isinstance(stage, bool) or not (stage in STAGES or (isinstance(stage, str) and stage)):
            raise ValueError(f"{name} has {stage!r}; a stage is 1, 2, 3, 4 or a module path")
    return stages
