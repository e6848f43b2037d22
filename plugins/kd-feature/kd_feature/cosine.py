"""Cosine: match directions, and with smooth L1 also sizes, of an image's embedding and of its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.adaptors import adaptor
from kd_feature.directions import cosines
from kd_feature.phi_s import Moments, PhiS
from kd_feature.stages import teacher_of
from kd_feature.tokens import on_grid, patches, resolved_pair
from kdcore import Batch, ModelOutput, Progress, Requires, Setup, Stage
from kdcore.ops import at_least_float32, check_same_shape, full_precision, prepare_features

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kd_feature.options.embeddings import CosineOptions


def unic_loss(
    student_tokens: Tensor,
    teacher_tokens: Tensor,
    cosine_weight: float = 0.5,
    smooth_l1_weight: float = 0.5,
) -> Tensor:
    """cosine_weight * (1 - cosine) + smooth_l1_weight * smooth L1, the mean over samples and tokens.

    Smooth L1 has beta 1 and is the mean over the channels. Both have the same shape `[B, D]` or `[B, N, D]`. The
    gradient goes to the student only. The result is float32 if the tokens have a narrower type, otherwise it has the
    type of the student's tokens.

    Source: Sariyildiz et al., "UNIC: Universal Classification Models via Multi-teacher Distillation", ECCV 2024. With
    the weights 0.9 and 0.1 for tokens, and 1 and 0 for the embedding, it is the loss of Ranzinger et al., "AM-RADIO:
    Agglomerative Vision Foundation Model Reduce All Domains Into One", CVPR 2024.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_tokens, teacher_tokens)
    student, teacher = prepare_features(student_tokens, teacher_tokens)
    with full_precision(student.device):
        loss = student.new_zeros(())
        if cosine_weight:
            loss = loss + cosine_weight * (1 - cosines(student, teacher).mean())
        if smooth_l1_weight:
            loss = loss + smooth_l1_weight * F.smooth_l1_loss(student, teacher)
        return loss


class Cosine(nn.Module):
    """The distiller `cosine`, with the loss terms `summary` (embeddings) and `spatial` (tokens of a map).

    Each has an adaptor head for the student. The student's map is resized to the teacher's grid before its head. With
    PHI-S, the teacher's embeddings and tokens are rotated and scaled to variance 1 in every channel, with statistics of
    the training set that are buffers.

    Raises:
        ValueError: there is no teacher, both weights are 0 or both factors of a term, or PHI-S has no matrix for the
            teacher's dimension.
        UserError: a model has no embedding, or no such stage.
    """

    def __init__(self, options: CosineOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        with_summary = options.summary_weight > 0
        if not (with_summary or options.spatial_weight > 0):
            raise ValueError("summary_weight and spatial_weight are both 0; at least one must be above 0")
        self.stages: tuple[Stage, ...] = ()
        self.heads, self.targets = nn.ModuleDict(), nn.ModuleDict()
        standardised = options.standardise == "phi-s"
        dims = {}
        if with_summary:
            dims["summary"] = (setup.student.embedding_dim, teacher.embedding_dim)
        if options.spatial_weight > 0:
            self.stages = ours, theirs = resolved_pair(options.student_stage, options.teacher_stage, setup)
            dims["spatial"] = (setup.student.stage(ours).channels, teacher.stage(theirs).channels)
        for name, (inputs, outputs) in dims.items():
            if options.loss == "cosine" and not any(_factors(options, name)):
                raise ValueError(
                    f"{name}_cosine and {name}_smooth_l1 are both 0, so its head learns nothing; set one of them above "
                    f"0, or {name}_weight to 0"
                )
            self.heads[name] = adaptor(options.head, inputs, outputs, options.hidden_dim or outputs)
            self.targets[name] = PhiS(outputs) if standardised else nn.Identity()
        self.requires = Requires(
            student_stages=self.stages[:1],
            teacher_stages=self.stages[1:],
            student_embedding=with_summary,
            teacher_embedding=with_summary,
            teacher_logits=False,
        )
        if standardised:
            self.__class__ = StandardisedCosine  # only this one asks for a pass over the training set

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted, without those of weight 0."""
        options = self.options
        of_teacher = self._of_teacher(teacher)
        terms = {}
        for name, head in self.heads.items():
            seen = self._of_student(name, student, teacher)
            with full_precision(seen.device):
                projected, target = (
                    head(at_least_float32(seen)),
                    self.targets[name](of_teacher[name].detach()),
                )
            if options.loss == "mse":
                loss = F.mse_loss(projected, at_least_float32(target).to(projected.dtype))
            else:
                loss = unic_loss(projected, target, *_factors(options, name))
            factor = options.summary_weight if name == "summary" else options.spatial_weight
            terms[name] = options.weight * factor * loss
        return terms

    def _of_student(self, name: str, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        if name == "summary":
            return _given(student.embedding, "student")
        ours, theirs = self.stages
        height, width = teacher.features[theirs].map.shape[2:]
        return patches(on_grid(student.features[ours].map, (height, width)))

    def _of_teacher(self, teacher: ModelOutput) -> dict[str, Tensor]:
        """What each head is compared with: the embedding `[B, D]`, the tokens `[B, N, D]`."""
        found = {}
        if "summary" in self.heads:
            found["summary"] = _given(teacher.embedding, "teacher")
        if "spatial" in self.heads:
            found["spatial"] = patches(teacher.features[self.stages[1]].map)
        return found


class StandardisedCosine(Cosine):
    """The same with PHI-S: it looks at the teacher's outputs for the training set before the first step."""

    def prepare(self, outputs: Iterable[tuple[ModelOutput, Batch]]) -> None:
        """Compute the statistics of the teacher's embeddings and tokens."""
        moments: dict[str, Moments] = {}
        for teacher, _ in outputs:
            for name, values in self._of_teacher(teacher).items():
                if name not in moments:
                    moments[name] = Moments(values.shape[-1], values.device)
                moments[name].add(values)
        for name, found in moments.items():
            target = self.targets[name]
            assert isinstance(target, PhiS)
            target.fit(found)


def _factors(options: CosineOptions, name: str) -> tuple[float, float]:
    """Of 1 - cosine and of smooth L1 in the term of this name."""
    if name == "summary":
        return options.summary_cosine, options.summary_smooth_l1
    return options.spatial_cosine, options.spatial_smooth_l1


def _given(embedding: Tensor | None, whose: str) -> Tensor:
    if embedding is None:
        raise ValueError(f"cosine reads the embedding of both models, and the {whose}'s is missing")
    return embedding
