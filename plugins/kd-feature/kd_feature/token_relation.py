"""Token relation: match the similarities of the tokens of an image, as in the third version of LightlyTrain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.directions import unit
from kd_feature.gradient_in_forward import parts, with_gradient
from kd_feature.projections import small_linear
from kd_feature.queue_relation import automatic_size, lightly_global_loss
from kd_feature.queues import Queue
from kd_feature.stages import teacher_of
from kd_feature.tokens import check_tokens, on_grid, patches, resolved_pair
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    at_least_float32,
    check_positive,
    embeddings_of,
    full_precision,
    gather,
    prepare_features,
)

if TYPE_CHECKING:
    from kd_feature.options.relations import TokenRelationOptions


def lightly_local_loss(student_tokens: Tensor, teacher_tokens: Tensor, temperature: float = 0.07) -> Tensor:
    """KL of the teacher's probabilities over the tokens of the same image from the student's, the mean over all tokens.

    A probability is the softmax of the cosine similarities of a token with all tokens of its image, itself included,
    divided by the temperature.

    Tokens are `[B, N, D]`; B and N have to be equal. The gradient goes to the student only. The tables `[B, N, N]` are
    not kept. The result is float32 if the tokens have a narrower type, otherwise it has the type of the student's
    tokens.

    Source: the method `distillation` of LightlyTrain from version 0.15.

    Raises:
        ValueError: the shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    check_tokens(student_tokens, teacher_tokens)
    student, teacher = prepare_features(student_tokens, teacher_tokens, dims=3)
    with full_precision(student.device):
        ours, theirs = unit(student), unit(teacher)
        return _divergence(ours, theirs, temperature)


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    samples, tokens = student.shape[:2]
    rows = samples * tokens

    def compute(student: Tensor, needed: bool) -> tuple[Tensor, Tensor | None]:
        loss = student.new_zeros(())
        gradients = []
        for part in parts(samples, tokens * tokens):
            ours, theirs = (
                F.log_softmax((one @ one.mT).div_(temperature), dim=2)
                for one in (student[part], teacher[part])
            )
            target = theirs.exp()
            loss += torch.vdot(target.flatten(), theirs.sub_(ours).flatten())
            if needed:
                slope = ours.exp_().sub_(target).div_(temperature * rows)
                gradients.append((slope + slope.mT) @ student[part])
        return loss / rows, torch.cat(gradients) if needed else None

    return with_gradient(student, compute)


class TokenRelation(nn.Module):
    """The distiller `token-relation`, with the loss terms `global` and `local`.

    `global` is the loss of `queue-relation`, `local` compares the tokens of a map within each image. Each has a linear
    projection of the student. The student's map is resized to the teacher's grid after its projection. Every process
    has the same queue.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding, or no such stage.
    """

    def __init__(self, options: TokenRelationOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        self.stages = resolved_pair(options.student_stage, options.teacher_stage, setup)
        dim = teacher.embedding_dim
        self.global_projection = small_linear(setup.student.embedding_dim, dim)
        channels = (setup.student.stage(self.stages[0]).channels, teacher.stage(self.stages[1]).channels)
        self.local_projection = small_linear(*channels)
        self.queue = Queue(options.queue or automatic_size(setup.train_size), dim, "zeros")
        # the queue gathers the embeddings itself: the maps of all processes are not needed, and large
        self.requires = Requires(
            student_stages=(self.stages[0],),
            teacher_stages=(self.stages[1],),
            student_embedding=True,
            teacher_embedding=True,
            teacher_logits=False,
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted; this batch goes into the queue first."""
        options = self.options
        of_student, of_teacher = embeddings_of(student, teacher)
        map_of_teacher = teacher.features[self.stages[1]].map
        with full_precision(of_student.device):
            of_student = self.global_projection(at_least_float32(of_student))
            tokens = patches(at_least_float32(student.features[self.stages[0]].map))
            projected = self.local_projection(tokens)
        keys = unit(at_least_float32(of_teacher.detach()))
        self.queue.push(gather(keys))
        whole = lightly_global_loss(of_student, of_teacher, self.queue.rows, options.temperature)
        grid = student.features[self.stages[0]].map.shape[2:]
        resized = on_grid(
            projected.transpose(1, 2).unflatten(2, grid), (map_of_teacher.shape[2], map_of_teacher.shape[3])
        )
        local = lightly_local_loss(patches(resized), patches(map_of_teacher), options.temperature)
        return {"global": options.weight * whole, "local": options.weight * options.local_weight * local}
