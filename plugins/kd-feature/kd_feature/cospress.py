"""CosPress: compress the teacher's tokens so that cosine similarities stay, and train the student on the result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_feature.directions import cosines, unit
from kd_feature.gradient_in_forward import parts, with_gradient
from kd_feature.projections import normed_linear
from kd_feature.stages import teacher_of
from kd_feature.tokens import all_tokens, check_tokens, resolved_pair
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import at_least_float32, check_positive, full_precision, gather, prepare_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_feature.options.embeddings import CosPressOptions


def cospress_local_loss(
    compressed_tokens: Tensor, teacher_tokens: Tensor, temperatures: Sequence[float]
) -> Tensor:
    """How far the neighbourhoods of the tokens of an image change by compression, the mean over the images.

    For a temperature T: p is the softmax of the cosine similarities divided by T, over the other tokens of the image;
    P = (p + p^T) / (2 n) for n tokens; the value is the sum of P log(P / Q) over all pairs of different tokens, with P
    of the teacher's tokens and Q of the compressed ones. The loss is the mean over the temperatures.

    Tokens are `[B, n, D]`; B and n have to be equal. The gradient goes to the compressed tokens only. All temperatures
    use one table of similarities, and none is kept. Single tokens have loss 0. The result is float32 if the tokens have
    a narrower type, otherwise it has the type of the compressed tokens.

    Source: Mannix et al., "Preserving Angles Improves Feature Distillation" (CosPress), TMLR 2025, and the authors'
    code.

    Raises:
        ValueError: the shapes or types do not fit, or a temperature is not above 0.
    """
    check_tokens(compressed_tokens, teacher_tokens)
    compressed, teacher = prepare_features(compressed_tokens, teacher_tokens, dims=3)
    if not temperatures:
        raise ValueError("temperatures is empty; give at least one")
    for temperature in temperatures:
        check_positive("temperature", temperature)
    with full_precision(compressed.device):
        return _neighbours_differ(unit(compressed), unit(teacher), tuple(temperatures))


def cospress_global_loss(
    compressed_embedding: Tensor, teacher_embedding: Tensor, temperatures: Sequence[float]
) -> Tensor:
    """The same for the samples of a batch: of the cosine similarities between their embeddings `[B, D]`.

    Args, result, source and errors are those of `cospress_local_loss`, with the samples as the tokens of one image.
    """
    compressed, teacher = prepare_features(compressed_embedding, teacher_embedding, dims=2)
    return cospress_local_loss(compressed.unsqueeze(0), teacher.unsqueeze(0), temperatures)


def _neighbours_differ(compressed: Tensor, teacher: Tensor, temperatures: tuple[float, ...]) -> Tensor:
    images, tokens = compressed.shape[:2]

    def compute(compressed: Tensor, needed: bool) -> tuple[Tensor, Tensor | None]:
        loss = compressed.new_zeros(())
        gradients = []
        for part in parts(images, tokens * tokens):
            ours, theirs = (one[part] @ one[part].mT for one in (compressed, teacher))
            slope = torch.zeros_like(ours) if needed else None
            for temperature in temperatures:
                loss += _divergence(ours / temperature, theirs / temperature, slope, temperature)
            if slope is not None:
                slope = (slope + slope.mT) / (images * len(temperatures))
                gradients.append(slope @ compressed[part])
        return loss / (images * len(temperatures)), torch.cat(gradients) if needed else None

    return with_gradient(compressed, compute)


def _divergence(ours: Tensor, theirs: Tensor, slope: Tensor | None, temperature: float) -> Tensor:
    """The summed divergence of tables `[G, n, n]`; adds its derivative for the student's table to the slope.

    Everything is in log space: at T = 0.01 the smallest probabilities are exp(-200).
    """
    tokens = ours.shape[-1]
    if tokens < 2:
        return ours.new_zeros(())
    rows, log_q = _symmetric(ours)
    _, log_p = _symmetric(theirs)
    p = log_p.exp()
    p.diagonal(dim1=-2, dim2=-1).zero_()
    if slope is not None:
        # d loss / d q_ij = -P_ij / (n Q_ij), and then through the softmax of row i; q / Q is at most 2 n
        inner = (rows - log_q).exp_().mul_(p).div_(-tokens)
        q = rows.exp_()
        q.diagonal(dim1=-2, dim2=-1).zero_()
        slope += inner.sub_(q.mul_(inner.sum(dim=-1, keepdim=True))).div_(temperature)
    return torch.vdot(p.flatten(), log_p.sub_(log_q).flatten())


def _symmetric(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Log p of each row without the own token, and log P; on the diagonal any finite values."""
    own = scores.diagonal(dim1=-2, dim2=-1)
    own.fill_(-math.inf)
    log_rows = scores.sub_(scores.logsumexp(dim=-1, keepdim=True))
    log_rows.diagonal(dim1=-2, dim2=-1).zero_()
    return log_rows, torch.logaddexp(log_rows, log_rows.mT).sub_(math.log(2 * scores.shape[-1]))


class CosPress(nn.Module):
    """The distiller `cospress`, with the loss terms `local`, `global`, `feature` and `token`.

    The teacher's tokens go through a head of layer norm and linear layer to the student's dimension. `local` and
    `global` train this head; `feature` and `token` train the student, without a head, so it ships as it is. A model
    without a class token has the mean of its map instead. The student's map is resized to the teacher's grid.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: CosPressOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        self.stages = resolved_pair(options.student_stage, options.teacher_stage, setup)
        dims = (teacher.stage(self.stages[1]).channels, setup.student.stage(self.stages[0]).channels)
        self.teacher_head = normed_linear(*dims)
        # only the class tokens of all processes are needed, so they are gathered here
        self.requires = Requires(
            student_stages=self.stages[:1], teacher_stages=self.stages[1:], teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        options = self.options
        ours, theirs = student.features[self.stages[0]], teacher.features[self.stages[1]]
        grid = (theirs.map.shape[2], theirs.map.shape[3])
        of_teacher = at_least_float32(all_tokens(theirs, grid).detach())
        with full_precision(of_teacher.device):
            compressed = self.teacher_head(of_teacher)
        tokens, target = at_least_float32(all_tokens(ours, grid)), compressed.detach()
        classes = gather(compressed[:, 0].contiguous()), gather(of_teacher[:, 0].contiguous())
        losses = {
            "local": cospress_local_loss(compressed, of_teacher, options.temperatures),
            "global": cospress_global_loss(*classes, options.temperatures),
            "feature": 1 - cosines(tokens.flatten(1), target.flatten(1)).mean(),
            "token": 1 - cosines(tokens[:, 0], target[:, 0]).mean(),
        }
        return {name: options.weight * loss for name, loss in losses.items()}
