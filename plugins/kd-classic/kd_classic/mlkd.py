"""MLKD: match predictions on three levels: of each sample, between the samples, and between the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import divergences
from kd_classic.read import read_views
from kd_classic.standardize import standardize_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, full_precision, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.relations import MLKDOptions


Pair = tuple[Tensor, Tensor]  # the logits of student and teacher

_STRONG: Final = (3.0, 5.0)
_MORE: Final = (2.0, 6.0)


def mlkd_batch_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The squared distance of the relations between samples: ||Pt Pt' - Ps Ps'||^2 / B with P = softmax(logits/T).

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a narrower
    type, otherwise it has the type of the student's logits.

    Source: Jin et al., "Multi-Level Logit Distillation", CVPR 2023, equation 6, and the authors'
    `mdistiller/distillers/MLKD.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    return _between_samples(*prepare_logits(student_logits, teacher_logits), temperature).mean()


def mlkd_class_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The squared distance of the relations between classes: ||Pt' Pt - Ps' Ps||^2 / K with P = softmax(logits/T).

    No `[K, K]` matrix is made if there are more classes than samples. Otherwise as `mlkd_batch_loss`; equation 9.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    return _between_classes(*prepare_logits(student_logits, teacher_logits), temperature).mean()


def mlkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_logits_strong: Tensor,
    teacher_logits_strong: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """The three levels over the temperatures T, 2, 3, 5 and 6, on a weak and a strong view of the same images.

    As released: the predictions of the strong view are matched at T, 3 and 5 only; at 2 and 6 those of the weak view
    are matched a second time; the relations are those of the weak view. The masks of unsure samples and classes act as
    their share of the batch and of the classes (one half), which multiplies the weak view's terms. What was meant is
    `mlkd_paper_loss`.

    A sample is unsure if the teacher's largest probability for its weak view is at most the median of the batch; a
    class, if the sum of its probabilities is at most the median of the classes.

    All logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a narrower
    type, otherwise it has the type of the student's logits.

    Source: Jin et al., "Multi-Level Logit Distillation", CVPR 2023, and the authors' `mdistiller/distillers/MLKD.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    views = _views(student_logits, teacher_logits, student_logits_strong, teacher_logits_strong)
    return _released(*views, temperature, standardize=False)


def mlkd_standardized_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_logits_strong: Tensor,
    teacher_logits_strong: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """`mlkd_loss` with z-scores in the first level, that of each sample; the relations and the masks read the logits.

    Source: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024, and the authors'
    `mdistiller/distillers/MLKD.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    views = _views(student_logits, teacher_logits, student_logits_strong, teacher_logits_strong)
    return _released(*views, temperature, standardize=True)


def mlkd_paper_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_logits_strong: Tensor,
    teacher_logits_strong: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """MLKD as the paper describes it: all three levels of both views, at all five temperatures.

    The masks choose samples and classes of the weak view. Otherwise as `mlkd_loss`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    views = _views(student_logits, teacher_logits, student_logits_strong, teacher_logits_strong)
    return _as_in_the_paper(*views, temperature, standardize=False)


def _released(weak: Pair, strong: Pair, temperature: float, *, standardize: bool) -> Tensor:
    """The sum of the authors' code."""
    first, first_strong = (_first_level(pair, standardize) for pair in (weak, strong))
    share_of_samples, share_of_classes = (mask.mean() for mask in _unsure(weak[1]))
    loss = weak[0].new_zeros(())
    for t in (temperature, *_STRONG, *_MORE):
        of_samples = divergences(*first, t).mean() + _between_samples(*weak, t).mean()
        loss = loss + share_of_samples * of_samples + share_of_classes * _between_classes(*weak, t).mean()
    for t in (temperature, *_STRONG):
        loss = loss + divergences(*first_strong, t).mean()
    for t in _MORE:
        loss = loss + divergences(*first, t).mean()
    return loss


def _as_in_the_paper(weak: Pair, strong: Pair, temperature: float, *, standardize: bool) -> Tensor:
    """The sum of all levels of both views."""
    samples, classes = _unsure(weak[1])
    views = [(pair, _first_level(pair, standardize)) for pair in (weak, strong)]
    masks = ((samples, classes), (None, None))
    loss = weak[0].new_zeros(())
    for t in (temperature, *_STRONG, *_MORE):
        for (pair, first), (of_samples, of_classes) in zip(views, masks, strict=True):
            rows = divergences(*first, t) + _between_samples(*pair, t)
            columns = _between_classes(*pair, t)
            loss = loss + (rows if of_samples is None else rows * of_samples).mean()
            loss = loss + (columns if of_classes is None else columns * of_classes).mean()
    return loss


def _views(
    student: Tensor, teacher: Tensor, student_strong: Tensor, teacher_strong: Tensor
) -> tuple[Pair, Pair]:
    """Both views in the precision of the loss."""
    weak = prepare_logits(student, teacher)
    strong = prepare_logits(student_strong, teacher_strong)
    if weak[0].shape != strong[0].shape:
        raise ValueError(
            f"the logits of both views have shapes {list(weak[0].shape)} and {list(strong[0].shape)}"
        )
    return weak, (strong[0].to(weak[0].dtype), strong[1].to(weak[0].dtype))


def _first_level(pair: Pair, standardize: bool) -> Pair:
    """What the first level compares: the logits, or their z-scores."""
    return (standardize_logits(pair[0]), standardize_logits(pair[1])) if standardize else pair


def _unsure(teacher: Tensor) -> tuple[Tensor, Tensor]:
    """1 for the samples `[B]` and classes `[K]` of which the teacher is at most as sure as the median, otherwise 0."""
    probabilities = F.softmax(teacher, dim=1)
    sureness = probabilities.amax(dim=1), probabilities.sum(dim=0)
    samples, classes = ((one <= one.median()).to(one.dtype) for one in sureness)
    return samples, classes


def _between_samples(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return _products_apart(F.softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1))


def _between_classes(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return _products_apart(
        F.softmax(student / temperature, dim=1).T, F.softmax(teacher / temperature, dim=1).T
    )


def _products_apart(a: Tensor, b: Tensor) -> Tensor:
    """The squared norm of each row of a a' - b b', `[N, D]` and `[N, D]` to `[N]`, in matrices of min(N, D) squared."""
    with full_precision(a.device):
        if a.shape[0] <= a.shape[1]:
            return (a @ a.T - b @ b.T).square().sum(1)
        # With m = (a + b)/2 and d = a - b it is m d' + d m', and the norm of its row i is a form of m_i and d_i. Both
        # differences are taken before any product, so what is small stays exact.
        m, d = (a + b) / 2, a - b
        across = (m @ (d.T @ m) * d).sum(1)
        return (m @ (d.T @ d) * m).sum(1) + (d @ (m.T @ m) * d).sum(1) + 2 * across


class MLKD(nn.Module):
    """The distiller `mlkd`, with the loss term `mlkd`, on a weak and a strong view of each image."""

    def __init__(self, options: MLKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(
            views=("weak", "strong"), whole_batch=True, target=options.correct is not None, unlabelled="given"
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        sum_of = _released if options.version == "released" else _as_in_the_paper
        views = _views(*read_views(options, student, teacher, batch, "mlkd"))
        loss = sum_of(*views, options.temperature, standardize=options.standardize)
        return {"mlkd": options.weight * loss}
