"""SDD: distill regions of the image, and give more weight to those where the teacher changes its mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.dkd import decoupled_divergences, warmup_factor
from kd_classic.logits import divergences
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    at_least_float32,
    check_positive,
    class_index,
    full_precision,
    prepare_logits,
    target_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_classic.options.decoupled import SDDOptions
    from kdcore import ModelInfo

_DISSENT = 2.0  # the weight of a region that disagrees with the whole image, from the authors' code


def sdd_kd_loss(
    student_region_logits: Tensor, teacher_region_logits: Tensor, target: Tensor, *, temperature: float
) -> Tensor:
    """KD for each region of an image: the mean over samples and regions of weight * T^2 * KL.

    Region 0 is the whole image, with weight 1. Another region has weight 2 if the teacher is right about it and wrong
    about the whole image, or the reverse; otherwise 1.

    Both logits are `[B, K, N]` for N regions. The target is class indices `[B]`, or probabilities `[B, K]`, whose most
    probable class is used. The gradient goes to the student only. The result is float32 if the logits have a narrower
    type, otherwise it has the type of the student's logits.

    Source: Luo, "Scale Decoupled Distillation", CVPR 2024, and the authors' `mdistiller/distillers/KD.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher, index = _by_region(student_region_logits, teacher_region_logits, target)
    return (_weights(teacher, index) * divergences(student, teacher, temperature)).mean()


def sdd_dkd_loss(
    student_region_logits: Tensor,
    teacher_region_logits: Tensor,
    target: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
) -> Tensor:
    """DKD for each region of an image: the mean of weight * (alpha * TCKD + beta * NCKD).

    Shapes, weights and types are those of `sdd_kd_loss`; the two parts are those of `dkd_loss`.

    Source: Luo, "Scale Decoupled Distillation", CVPR 2024, and the authors' `mdistiller/distillers/SDD_DKD.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher, index = _by_region(student_region_logits, teacher_region_logits, target)
    regions, samples, classes = student.shape
    of_target, of_others = decoupled_divergences(
        student.reshape(-1, classes), teacher.reshape(-1, classes), index.repeat(regions), temperature
    )
    losses = (alpha * of_target + beta * of_others).view(regions, samples)
    return (_weights(teacher, index) * losses).mean()


def _by_region(student: Tensor, teacher: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logits as `[N, B, K]`, in the precision of the loss, and the class indices `[B]`."""
    for name, logits in (("student_region_logits", student), ("teacher_region_logits", teacher)):
        if logits.dim() != 3 or logits.shape[2] < 1:
            raise ValueError(f"{name} has shape {list(logits.shape)}; it must be [B, K, N]")
    if student.shape != teacher.shape:
        raise ValueError(
            f"student_region_logits has shape {list(student.shape)}, teacher_region_logits {list(teacher.shape)}; "
            "both must score the same regions of the same samples"
        )
    whole, _ = prepare_logits(student[..., 0], teacher[..., 0])
    index = class_index(target, whole)
    return student.permute(2, 0, 1).to(whole.dtype), teacher.detach().permute(2, 0, 1).to(whole.dtype), index


def _weights(teacher: Tensor, index: Tensor) -> Tensor:
    """The weight of each region and sample, `[N, B]`."""
    right = teacher.argmax(dim=2) == index
    return torch.where(right != right[0], _DISSENT, 1.0).to(teacher.dtype)


class SDD(nn.Module):
    """The distiller `sdd`: the regions of the last feature map, through the classifier of each model.

    Its loss term is `sdd`. With the form `dkd` it has the authors' warm-up.

    Raises:
        ValueError: there is no teacher, or a classifier is not linear on the pooled map of stage 4.
        UserError: a model has no stage 4, or the layers after it cannot be run.
    """

    def __init__(self, options: SDDOptions, setup: Setup) -> None:
        super().__init__()
        if setup.teacher is None:
            raise ValueError("a teacher is needed")
        self.options = options
        # in a tuple, so that they do not become submodules
        self.classifiers = tuple(
            _linear_on_the_pooled_map(model, setup) for model in (setup.student, setup.teacher)
        )
        self.requires = Requires(
            student_stages=(4,), teacher_stages=(4,), target=True, unlabelled="skipped", teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options, target = self.options, target_of(batch, "sdd")
        of_student, of_teacher = (
            _region_logits(output.features[4].map, classifier, options.grids)
            for output, classifier in zip((student, teacher), self.classifiers, strict=True)
        )
        if options.form == "kd":
            loss = sdd_kd_loss(of_student, of_teacher, target, temperature=options.temperature)
            return {"sdd": options.weight * loss}
        loss = sdd_dkd_loss(
            of_student,
            of_teacher,
            target,
            alpha=options.alpha,
            beta=options.beta,
            temperature=options.temperature,
        )
        weight = options.weight
        if options.warmup_epochs > 0:
            weight *= warmup_factor(progress.epoch, options.warmup_epochs)
        return {"sdd": weight * loss}


def _region_logits(features: Tensor, classifier: nn.Linear, grids: Sequence[int]) -> Tensor:
    """The logits `[B, K, N]` of the regions of a map `[B, C, H, W]`: the whole image, then the cells of each grid.

    As in the authors' code, the map is pooled to 4x4 first, and the image and its quarters are means of these cells.
    With a side that 4 does not divide, such as 7, the cells overlap. Other grids are pooled from the map itself.
    """
    features = at_least_float32(features)
    cells_of_four = F.adaptive_avg_pool2d(features, 4)
    pooled = [
        F.adaptive_avg_pool2d(features if 4 % grid else cells_of_four, grid).flatten(2)
        for grid in (1, *(g for g in grids if g > 1))
    ]
    cells = torch.cat(pooled, dim=2).transpose(1, 2)
    with full_precision(cells.device):
        bias = None if classifier.bias is None else classifier.bias.to(cells.dtype)
        return F.linear(cells, classifier.weight.to(cells.dtype), bias).transpose(1, 2)


def _linear_on_the_pooled_map(model: ModelInfo, setup: Setup) -> nn.Linear:
    """The model's classifier, if it gives the model's logits for the pooled map of stage 4.

    Raises:
        ValueError: it does not; the message has the reason.
    """
    classifier, stage = model.classifier, model.stage(4)
    needed = (
        f"sdd gives regions of the last feature map to the classifier, which {model.name} does not allow: "
    )
    if not isinstance(classifier, nn.Linear):
        raise ValueError(needed + f"its classifier is {type(classifier).__name__}, not one linear layer")
    if classifier.in_features != stage.channels:
        raise ValueError(
            needed
            + f"its classifier reads {classifier.in_features} features, and stage 4 has {stage.channels}"
        )
    if classifier.out_features != setup.num_classes:
        raise ValueError(
            needed + f"its classifier has {classifier.out_features} classes, and the data {setup.num_classes}"
        )
    if stage.prefix_tokens:
        raise ValueError(needed + "it is a transformer with a class token")
    if not _same_logits(model, classifier, setup.generator):
        raise ValueError(needed + "there are other layers between stage 4 and the classifier, such as a norm")
    return classifier


def _same_logits(model: ModelInfo, classifier: nn.Linear, generator: torch.Generator) -> bool:
    """Whether the layers after stage 4 do the same as pooling and the classifier; unknown on the meta device: True."""
    tail, stage = model.tail(4), model.stage(4)
    weight = classifier.weight
    if weight.is_meta:
        return True
    # several copies of one map, because a student may have dropout there: then the mean over the copies counts
    copies = 64
    one = torch.randn(
        1, stage.channels, *stage.grid, generator=torch.Generator().manual_seed(generator.initial_seed())
    )
    features = (one + 0.5).to(weight).expand(copies, -1, -1, -1).contiguous()
    modes = {module: module.training for module in tail.modules()}
    try:
        tail.eval()
        with torch.no_grad():
            given = at_least_float32(tail(features).logits)
            expected = at_least_float32(classifier(features[:1].mean((2, 3))))[0]
    finally:
        for module, mode in modes.items():
            module.training = mode
    error = (given.mean(0) - expected).abs()
    tolerance = 0.01 * expected.abs().max() + 8 * given.std(0) / copies**0.5
    return bool((error <= tolerance).all())
