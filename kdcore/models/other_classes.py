"""`OtherClasses`: a model knows another number of classes than the data has."""

from __future__ import annotations

from typing import Final

from kdcore.errors import Problem, UserError

OTHER_CLASSES: Final = (
    "for distillers of features or embeddings, set teacher.classifier to false; for the others, train the teacher on "
    "the data first: give its spec as 'run', with these weights there; if the data's classes are some of the "
    "teacher's, name them with teacher.classes"
)
FROZEN: Final = (
    "if the data's classes are some of the model's, name them with teacher.classes; for distillers of features or "
    "embeddings, set teacher.classifier to false; the others need a model with the classes of the data"
)


class OtherClasses(UserError):
    """A teacher knows another number of classes than the data has.

    Attributes:
        known: the number that it knows; 0: it has no classifier.
    """

    def __init__(self, problem: Problem, known: int) -> None:
        super().__init__(problem)
        self.known = known
