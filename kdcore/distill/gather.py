"""What a distiller that relates samples to each other gets: the whole batch, and only what it requires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kdcore.ops import gather, world_size
from kdcore.protocols import Batch, FeatureMap, ModelOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kdcore.distill.teachers import Seen
    from kdcore.protocols import Requires, Stage


class WholeBatch:
    """One step's outputs, gathered from all processes; a tensor that several distillers require is gathered once.

    With one process the tensors stay as they are. What a distiller does not require is left out, with one process as
    with several.

    Args:
        alone: every process has all samples already, so nothing is gathered.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone or world_size() == 1  # every process has all samples already
        # pairs, not a dictionary by id: a compiled step would be compiled again for each new tensor
        self._gathered: list[tuple[Tensor, Tensor]] = []

    def for_distiller(
        self, requires: Requires, student: ModelOutput, teacher: Seen, batch: Batch
    ) -> tuple[ModelOutput, Seen, Batch]:
        """The arguments of one distiller."""
        seen = None if teacher is None else self._taught(requires, teacher)
        learner = self._output(
            student,
            requires.student_stages,
            embedding=requires.student_embedding,
            logits=requires.student_logits is not False,
            second=requires.distillation_logits,
        )
        if requires.student_pass:
            learner = replace(learner, student_pass=student.student_pass)
        if requires.partner is not None and student.partner is not None:
            stages, embedding = requires.student_stages, requires.student_embedding
            learner = replace(learner, partner=self._output(student.partner, stages, embedding=embedding))
        return learner, seen, self._batch(batch)

    def of_teacher(
        self, requires: Requires, teacher: ModelOutput | dict[str, ModelOutput], batch: Batch
    ) -> tuple[ModelOutput | dict[str, ModelOutput], Batch]:
        """What one distiller gets of its teacher, or of all teachers, alone."""
        return self._taught(requires, teacher), self._batch(batch)

    def _taught(
        self, requires: Requires, teacher: ModelOutput | dict[str, ModelOutput]
    ) -> ModelOutput | dict[str, ModelOutput]:
        if isinstance(teacher, dict):
            return {name: self._teacher(requires.of_member(name), one) for name, one in teacher.items()}
        return self._teacher(requires, teacher)

    def _teacher(self, requires: Requires, teacher: ModelOutput) -> ModelOutput:
        stages, embedding = requires.teacher_stages, requires.teacher_embedding
        assert not isinstance(stages, Mapping)
        return self._output(teacher, stages, embedding=embedding, logits=requires.teacher_logits)

    def _output(
        self,
        output: ModelOutput,
        stages: Sequence[Stage],
        *,
        embedding: bool,
        logits: bool = True,
        second: bool = False,
    ) -> ModelOutput:
        return ModelOutput(
            self._whole(output.logits) if logits else None,
            {stage: self._map(output.features[stage]) for stage in stages if stage in output.features},
            self._whole(output.embedding) if embedding else None,
            tuple(
                self._output(view, stages, embedding=embedding, logits=logits, second=second)
                for view in output.views
            ),
            self._whole(output.distillation_logits) if second else None,
        )

    def _map(self, feature: FeatureMap) -> FeatureMap:
        whole = self._whole(feature.map)
        assert whole is not None
        return FeatureMap(whole, self._whole(feature.prefix))

    def _batch(self, batch: Batch) -> Batch:
        # images are not gathered: no loss over samples reads them
        return Batch(
            batch.images, self._whole(batch.target), self._whole(batch.index), self._whole(batch.labelled)
        )

    def _whole(self, tensor: Tensor | None) -> Tensor | None:
        if tensor is None or self._alone:
            return tensor
        for part, whole in self._gathered:
            if part is tensor:
                return whole
        whole = gather(tensor)
        self._gathered.append((tensor, whole))
        return whole
