"""Matrices of classes that fit on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE: Final = 200  # most pixels of a matrix; larger ones are averaged in blocks


def blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averages in blocks, so that no side has more than `SIDE`."""
    import numpy as np

    size = len(values)
    if size <= SIDE:
        return values
    edges = np.linspace(0, size, SIDE + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(values, edges, axis=0), edges, axis=1)
    widths = np.diff(np.append(edges, size))
    averaged: NDArray[np.float64] = sums / np.outer(widths, widths)
    return averaged
