"""What a distiller is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from kdcore.protocols.model_info import ModelInfo


@dataclass(frozen=True)
class Setup:
    """What a distiller is built from.

    Attributes:
        student: the student.
        teacher: the teacher that it reads; None if the run has none, or if it has several and the spec names none.
        num_classes: K; 0 if neither the data nor a model has classes.
        train_size: samples in the training set, N.
        train_labels: the class index of every training sample `[N]`, -1 for one without a label; None if they are not
            known, or with several labels an image.
        generator: for random numbers while a distiller is built.
        teachers: all teachers by name; the only one is called `teacher` unless the spec names it.
        batch_size: samples of a batch, of all processes; None if it is not known. The last batch of an epoch may be
            smaller.
        task: what the labels are, one of `kdcore.plugin.TASKS`: `classes`, one an image, any number of `labels`, or
            `none`: they are not read.
    """

    student: ModelInfo
    teacher: ModelInfo | None
    num_classes: int
    train_size: int
    train_labels: Tensor | None
    generator: torch.Generator
    teachers: Mapping[str, ModelInfo] = field(default_factory=dict)
    batch_size: int | None = None
    task: str = "classes"

    def __post_init__(self) -> None:
        if not self.teachers and self.teacher is not None:
            object.__setattr__(self, "teachers", {"teacher": self.teacher})
