"""VkD: match the teacher's normalised features after a projection that keeps lengths and angles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from kd_feature.stages import teacher_of
from kd_feature.tokens import resolved_pair
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import at_least_float32, check_same_shape, embeddings_of, full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.embeddings import VkDOptions

_EPS = 1e-5  # of the teacher's layer norm


def vkd_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """Smooth L1 between the student's embedding and the teacher's after a layer norm, the mean over all elements.

    Both embeddings have the same shape `[B, D]`; the student's is already projected. The layer norm has no parameters.
    The gradient goes to the student only. The result is float32 if the embeddings have a narrower type, otherwise it
    has the type of the student's embedding.

    Source: Miles et al., "VkD: Improving Knowledge Distillation using Orthogonal Projections", CVPR 2024, and the
    authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    with full_precision(student.device):
        return F.smooth_l1_loss(student, F.layer_norm(teacher, teacher.shape[1:], eps=_EPS))


class OrthogonalLinear(nn.Module):
    """A linear map without bias whose weight has orthonormal columns, or orthonormal rows if it reduces the dimension.

    The weight is a product of Householder reflections, which is orthogonal for any value of the parameters. So it stays
    orthogonal under every optimizer, also with weight decay. (In torch's own parametrization, signs on the diagonal of
    the parameter become 0 under weight decay.) It is computed in the precision of the parameter, also under autocast.

    Args:
        in_features: D_s.
        out_features: D_t.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=False)
        parametrize.register_parametrization(self.linear, "weight", _Reflections())

    @property
    def weight(self) -> Tensor:
        """The orthogonal weight `[D_t, D_s]`."""
        with full_precision(next(self.linear.parameters()).device):
            return self.linear.weight

    def forward(self, features: Tensor) -> Tensor:
        """`[B, D_s]` to `[B, D_t]`, in float32 at least."""
        with full_precision(features.device):
            projected: Tensor = self.linear(at_least_float32(features))
        return projected


class _Reflections(nn.Module):
    """A matrix with orthonormal columns from the lower triangle of any matrix; transposed if it is wide."""

    def forward(self, parameter: Tensor) -> Tensor:
        tall = parameter if parameter.shape[0] >= parameter.shape[1] else parameter.T
        vectors = tall.tril(diagonal=-1)
        scales = 2 / (1 + vectors.square().sum(dim=0))
        vectors = vectors + torch.eye(*tall.shape, dtype=tall.dtype, device=tall.device)
        found: Tensor = torch.linalg.householder_product(vectors, scales)
        return found if tall is parameter else found.T

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The parameter whose matrix spans what the columns of a first weight span."""
        if weight.is_meta:
            return weight
        tall = weight if weight.shape[0] >= weight.shape[1] else weight.T
        vectors, _ = torch.geqrf(tall)
        return vectors if tall is weight else vectors.T.contiguous()


class VkD(nn.Module):
    """The distiller `vkd`, with the loss term `vkd`, on the pooled maps of both models or on their embeddings.

    The pooled map is the mean over the positions, without class and register tokens. The projection is an
    `OrthogonalLinear`.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage, or no embedding.
    """

    def __init__(self, options: VkDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        if options.features == "embedding":
            dims = (setup.student.embedding_dim, teacher.embedding_dim)
            self.stages = None
            self.requires = Requires(student_embedding=True, teacher_embedding=True, teacher_logits=False)
        else:
            ours, theirs = resolved_pair(options.student_stage, options.teacher_stage, setup)
            dims = (setup.student.stage(ours).channels, teacher.stage(theirs).channels)
            self.stages = (ours, theirs)
            self.requires = Requires(student_stages=(ours,), teacher_stages=(theirs,), teacher_logits=False)
        self.projection = OrthogonalLinear(*dims)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        if self.stages is None:
            of_student, of_teacher = embeddings_of(student, teacher)
        else:
            maps = student.features[self.stages[0]].map, teacher.features[self.stages[1]].map
            of_student, of_teacher = (at_least_float32(one).mean(dim=(2, 3)) for one in maps)
        return {"vkd": self.options.weight * vkd_loss(self.projection(of_student), of_teacher)}
