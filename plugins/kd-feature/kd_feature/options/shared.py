"""What options of several families share. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

_Stage = Annotated[int, Field(strict=True, ge=1, le=4)] | Annotated[str, Field(min_length=1)]
StageChoice = _Stage | tuple[_Stage, _Stage]
"""A stage of both models, or a pair: the student's and the teacher's."""

Stages = Annotated[tuple[StageChoice, ...], Field(min_length=1)]

STAGES: Final = (
    "Stages whose maps are compared, each 1..4 or a module path; a pair [student's, teacher's] if they differ. "
    "The terms of several stages are added"
)
"""What an option `stages` says, without the stop at the end."""

ALL_STAGES: Final[tuple[StageChoice, ...]] = (1, 2, 3, 4)

DIM: Final = (
    "Output width of the two trained linear heads, one for the student's embedding and one for the teacher's."
)
"""What an option `dim` says."""

StageOfModel = _Stage
"""A stage of one model."""

LastStage = Literal["last"] | _Stage
"""A stage of one model, or its last tokens."""

STAGE_OF_STUDENT: Final = (
    "The student's stage whose map is read, 1..4 or a module path. 'last': after the last norm of a transformer, "
    "otherwise stage 4."
)
STAGE_OF_TEACHER: Final = "The teacher's stage, in the same way."
QUEUE: Final = (
    "Number of rows of the queue of embeddings of earlier samples, at most the size of the training set."
)
"""What an option `queue` says."""
