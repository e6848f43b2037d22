"""What options of several families share. Imports no torch."""

from __future__ import annotations

from typing import Final

STANDARDIZE: Final = (
    "First replace the logits of each sample, of student and teacher, by their z-scores over the classes "
    "(Logit Standardization, CVPR 2024). Its authors use it with temperature 2 and weight 9"
)
"""What an option `standardize` says, without the stop at the end."""
