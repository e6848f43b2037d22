"""Options whose module imports something heavy."""

from __future__ import annotations

import numpy as np

from kd_broken.options import GoodOptions


class Heavy(GoodOptions):
    """Good but for the import."""

    @property
    def as_array(self) -> np.ndarray:
        return np.array(self.scale)
