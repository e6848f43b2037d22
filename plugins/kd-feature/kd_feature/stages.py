"""Which feature maps of student and teacher a distiller compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kdcore import ModelInfo, ModelOutput, Requires, Setup, Stage, StageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from kd_feature.options.shared import StageChoice


class StagePair(NamedTuple):
    """A stage of the student and the stage of the teacher that it is compared with."""

    student: Stage
    teacher: Stage


def stage_pairs(stages: tuple[StageChoice, ...]) -> tuple[StagePair, ...]:
    """The option `stages` as pairs."""
    return tuple(StagePair(*one) if isinstance(one, tuple) else StagePair(one, one) for one in stages)


def needed(
    pairs: tuple[StagePair, ...],
    *,
    whole_batch: bool = False,
    embedding: bool = False,
    teacher_logits: bool = False,
) -> Requires:
    """The requirements of a distiller with these pairs; `embedding`: of both models."""
    return Requires(
        student_stages=tuple(dict.fromkeys(pair.student for pair in pairs)),
        teacher_stages=tuple(dict.fromkeys(pair.teacher for pair in pairs)),
        student_embedding=embedding,
        teacher_embedding=embedding,
        whole_batch=whole_batch,
        teacher_logits=teacher_logits,
    )


def maps(
    pairs: tuple[StagePair, ...], student: ModelOutput, teacher: ModelOutput
) -> Iterator[tuple[Tensor, Tensor]]:
    """The maps `[B, C, H, W]` of each pair, without class and register tokens."""
    for pair in pairs:
        yield student.features[pair.student].map, teacher.features[pair.teacher].map


def shapes(pairs: tuple[StagePair, ...], setup: Setup) -> list[tuple[StageInfo, StageInfo]]:
    """The shapes of each pair.

    Raises:
        UserError: a model has no such stage.
    """
    teacher = teacher_of(setup)
    setup.student.measure([pair.student for pair in pairs])
    teacher.measure([pair.teacher for pair in pairs])
    return [(setup.student.stage(pair.student), teacher.stage(pair.teacher)) for pair in pairs]


def teacher_of(setup: Setup) -> ModelInfo:
    """The teacher.

    Raises:
        ValueError: there is no teacher.
    """
    if setup.teacher is None:
        raise ValueError("it learns from a teacher, and there is none")
    return setup.teacher
