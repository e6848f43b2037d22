"""What options of several families share. Imports no torch."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from kdcore import DistillerOptions

STANDARDIZE: Final = (
    "First replace the logits of each sample, of student and teacher, by their z-scores over the classes "
    "(Logit Standardization, CVPR 2024). Its authors use it with temperature 2 and weight 9"
)
"""What an option `standardize` says, without the stop at the end."""


class CorrectOptions(DistillerOptions):
    """Options of a method that compares the student with the teacher's logits."""

    correct: Literal["swap", "sort"] | None = Field(
        default=None,
        description="Change the teacher's logits where it is wrong, so that the target class has the largest one: "
        "'swap' exchanges it with the largest (RLD, ICCV 2025, compares with it); 'sort' moves it to the first rank "
        "and the classes above it one rank down (SortKD). It needs labels. null: leave them.",
    )


class StandardizeOptions(DistillerOptions):
    """Options of a method that works with z-scores instead of logits too."""

    standardize: bool = Field(default=False, description=STANDARDIZE + ".")


class LogitOptions(StandardizeOptions, CorrectOptions):
    """Options of a method that works with corrected logits and with z-scores."""
