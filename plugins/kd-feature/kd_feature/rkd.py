"""RKD: match distances between two samples, and angles between three samples, to those in the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import embeddings_of, full_precision, prepare_features, widest_float

if TYPE_CHECKING:
    from kd_feature.options.relations import RKDOptions

_EPS = 1e-12  # from the authors' code: the smallest squared distance
_ROUNDING = 64  # two samples are equal if their squared distance is at most this number of rounding units
AT_ONCE = 1 << 22  # number of angles that are kept for the backward pass; more are computed again there


def rkd_distance_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Smooth L1 between both tables of distances `[B, B]`, each divided by its mean; the mean over all B^2.

    Both features are `[B, ...]`; only B has to be equal. The gradient goes to the student only. Two equal samples
    have distance 1e-6 and give no gradient. A batch of one has loss 0. The result is float32 if the features have a
    narrower type, otherwise it has the type of the student's features.

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019, section 3.2, and
    the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = prepare_features(student_features, teacher_features)
    with full_precision(student.device):
        loss = F.smooth_l1_loss(_distances(_relations(student)), _distances(_relations(teacher)))
    return loss.to(student.dtype)


def rkd_angle_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Smooth L1 between the cosines of the angles at each sample towards two others; the mean over all B^3.

    Both features are `[B, ...]`; only B has to be equal. The gradient goes to the student only. Between equal samples
    there is no direction, and the cosine is 0. The loss uses the products of samples `[B, B]`: memory grows with B^3
    up to four million angles, then with B^2, and not with the size of the features. The result is float32 if the
    features have a narrower type, otherwise it has the type of the student's features.

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019, section 3.2, and
    the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = prepare_features(student_features, teacher_features)
    samples = student.shape[0]
    at_once = max(AT_ONCE // samples**2, 1)
    with full_precision(student.device):
        ours, theirs = _relations(student), _relations(teacher)
        loss = ours.products.new_zeros(())
        for start in range(0, samples, at_once):
            part = slice(start, start + at_once)
            if at_once >= samples:
                loss = loss + _angle_loss(ours, theirs, part)
            else:
                again = checkpoint(
                    _angle_loss, ours, theirs, part, use_reentrant=False, preserve_rng_state=False
                )
                loss = loss + again
    return (loss / samples**3).to(student.dtype)


class _Relations(NamedTuple):
    """For samples minus their mean: products `[B, B]`, squared distances `[B, B]`, and which pairs are not equal."""

    products: Tensor
    squares: Tensor
    apart: Tensor


def _relations(features: Tensor) -> _Relations:
    flat = features.flatten(1)
    # a distance that is computed from products is a small difference of large numbers
    flat = flat.to(widest_float(flat.device))
    flat = flat - flat.detach().mean(dim=0)
    products = flat @ flat.T
    lengths = products.diagonal()
    both = lengths.unsqueeze(0) + lengths.unsqueeze(1)
    squares = both - 2 * products
    apart = squares.detach() > _ROUNDING * torch.finfo(flat.dtype).eps * both.detach()
    return _Relations(products, squares, apart)


def _distances(relations: _Relations) -> Tensor:
    """Distances divided by their mean, `[B, B]` with a diagonal of 0."""
    squares = torch.where(relations.apart, relations.squares, _EPS).clamp(min=_EPS)
    samples = len(squares)
    distances = squares.sqrt() * (1 - torch.eye(samples, dtype=squares.dtype, device=squares.device))
    return distances / (distances.sum() / max(samples * (samples - 1), 1)).clamp(min=_EPS)


def _angle_loss(student: _Relations, teacher: _Relations, at: slice) -> Tensor:
    return F.smooth_l1_loss(_angles(student, at), _angles(teacher, at), reduction="sum")


def _angles(relations: _Relations, at: slice) -> Tensor:
    """Cosines `[A, B, B]` of the angles at A of the samples, between the directions to two others."""
    products, squares, apart = relations
    own = products.diagonal()[at].view(-1, 1, 1)
    here = products[at]
    between = products - here.unsqueeze(1) - here.unsqueeze(2) + own
    near = torch.where(apart[at], squares[at], 1.0).rsqrt()
    inverse = torch.where(apart[at], near, 0.0)
    return between * inverse.unsqueeze(1) * inverse.unsqueeze(2)


class RKD(nn.Module):
    """The distiller `rkd` on the embeddings, with the loss terms `distance` and `angle`."""

    def __init__(self, options: RKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted, without those of weight 0."""
        options, pair = self.options, embeddings_of(student, teacher)
        terms = {}
        if options.distance_weight:
            terms["distance"] = options.weight * options.distance_weight * rkd_distance_loss(*pair)
        if options.angle_weight:
            terms["angle"] = options.weight * options.angle_weight * rkd_angle_loss(*pair)
        return terms
