"""CA-MKD on features: the student's translated map follows several teachers, weighted by their own classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.heads import resized
from kdcore import FeatureMap, Requires
from kdcore.ops import (
    BatchNormOverProcesses,
    at_least_float32,
    check_same_shape,
    class_index,
    prepare_features,
    target_of,
)

if TYPE_CHECKING:
    from kd_feature.options.classifiers import CAMKDFeatureOptions
    from kdcore import Batch, ModelInfo, ModelOutput, Progress, Setup


def camkd_feature_loss(
    student_maps: Tensor,
    teacher_maps: Tensor,
    crossed_logits: Tensor,
    target: Tensor,
) -> Tensor:
    """The mean over teachers and samples of w_m * MSE_m, w = (1 - softmax over teachers of CE(crossed_m, y)) / (M - 1).

    A teacher counts more if its classifier predicts the class from the student's map. The weights of a sample have the
    sum 1, and the mean over the teachers, as in the authors' code, divides by M once more. The weights are constants.

    Args:
        student_maps: the student's map after the translation for each teacher, `[M, B, C, H, W]`.
        teacher_maps: `[M, B, C, H, W]`; they get no gradient.
        crossed_logits: of each teacher's classifier for the student's translated map, `[M, B, K]`.
        target: class indices `[B]`, or probabilities `[B, K]`, whose most probable class is used.

    Returns:
        A scalar: float32 if the maps have a narrower type, otherwise of the type of the student's maps.

    Source: Zhang et al., "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP 2022, equations 6 and 7, and
    the authors' `distiller_zoo/CAMKD.py`.

    Raises:
        ValueError: shapes or types do not fit, there is one teacher only, or no sample.
    """
    _check(student_maps, teacher_maps, crossed_logits)
    student = at_least_float32(student_maps)
    weights = teacher_weights(at_least_float32(crossed_logits.detach()).to(student.dtype), target)
    # one teacher after another: the squares of all of them together need much more memory
    pairs = zip(student, teacher_maps.detach().to(student.dtype), strict=True)
    apart = [F.mse_loss(ours, theirs, reduction="none").flatten(1).mean(1) for ours, theirs in pairs]
    return (weights * torch.stack(apart)).mean()


def teacher_weights(crossed_logits: Tensor, target: Tensor) -> Tensor:
    """The weight of each teacher and sample, `[M, B]`, from logits `[M, B, K]`; those of a sample have the sum 1."""
    count, samples, _ = crossed_logits.shape
    index = class_index(target, crossed_logits[0])
    wrong = F.cross_entropy(crossed_logits.flatten(0, 1), index.repeat(count), reduction="none")
    return (1 - F.softmax(wrong.view(count, samples), dim=0)) / (count - 1)


def _check(student: Tensor, teacher: Tensor, crossed: Tensor) -> None:
    for name, values, dims, layout in (
        ("student_maps", student, 5, "[M, B, C, H, W]"),
        ("teacher_maps", teacher, 5, "[M, B, C, H, W]"),
        ("crossed_logits", crossed, 3, "[M, B, K]"),
    ):
        if values.dim() != dims or not values.is_floating_point():
            raise ValueError(f"{name} is {values.dtype} of shape {list(values.shape)}; it must be {layout}")
    if student.shape != teacher.shape or student.shape[:2] != crossed.shape[:2]:
        raise ValueError(
            f"student_maps has shape {list(student.shape)}, teacher_maps {list(teacher.shape)} and crossed_logits "
            f"{list(crossed.shape)}; they must be of the same teachers and samples, and both maps of one shape"
        )
    if len(student) < 2:
        raise ValueError("there is one teacher, and this loss weighs at least 2 against each other")
    if student.shape[1] < 1:
        raise ValueError(f"student_maps has shape {list(student.shape)}; it must hold at least one sample")


class CAMKDFeature(nn.Module):
    """The distiller `camkd-feature`, with the loss term `features`: `camkd_feature_loss` on the last maps.

    Each teacher has a translator of its own, from the student's last map, resized to the teacher's grid, to the
    teacher's channels. What it gives goes through the teacher's layers after stage 4, for the weights. Its batch norm
    has the statistics of the batch over all processes.

    Raises:
        ValueError: there is one teacher only, a teacher reads a class token, or its classes are not those of the data.
        UserError: a teacher's layers after stage 4 cannot be run alone.
    """

    def __init__(self, options: CAMKDFeatureOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        if len(setup.teachers) < 2:
            raise ValueError(
                f"camkd-feature weighs teachers against each other, and the run has {len(setup.teachers)}: "
                "give 'teacher' as a list of two or more, each with a 'name'"
            )
        for name, info in setup.teachers.items():
            _check_teacher(name, info, setup.num_classes)
        # in a dict, because they are not trained
        self.tails = {name: (info.tail(4),) for name, info in setup.teachers.items()}
        channels = setup.student.stage(4).channels
        self.translators = nn.ModuleList(
            _translator(channels, info.stage(4).channels, options.translator, options.factor)
            for info in setup.teachers.values()
        )
        self.requires = Requires(
            student_stages=(4,),
            teacher_stages=dict.fromkeys(setup.teachers, (4,)),
            several_teachers=True,
            target=True,
            teacher_logits=False,
        )

    def forward(
        self, student: ModelOutput, teacher: dict[str, ModelOutput], batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options, ours = self.options, student.features[4].map
        crossed, apart = [], []
        for (name, (tail,)), translator in zip(self.tails.items(), self.translators, strict=True):
            theirs = teacher[name].features[4].map
            translated = translator(resized(ours, (theirs.shape[2], theirs.shape[3])))
            check_same_shape(translated, theirs)
            logits = tail(FeatureMap(translated)).logits
            crossed.append(at_least_float32(logits.detach() if options.constant_weights else logits))
            errors = F.mse_loss(*prepare_features(translated, theirs), reduction="none")
            apart.append(errors.flatten(1).mean(1))
        weights = teacher_weights(torch.stack(crossed), target_of(batch, "camkd-feature"))
        # the weights of a sample have the sum 1, and the mean divides by the number of teachers once more
        factor = len(apart) if options.normalize else 1
        return {"features": options.weight * factor * (weights * torch.stack(apart)).mean()}


def _check_teacher(name: str, info: ModelInfo, classes: int) -> None:
    if info.stage(4).prefix_tokens:
        raise ValueError(
            f"camkd-feature gives the student's map to each teacher's classifier, and the teacher '{name}' "
            f"({info.name}) reads a class token, which the student's map does not have"
        )
    found = getattr(info.classifier, "out_features", classes)
    if found != classes:
        raise ValueError(
            f"camkd-feature compares each teacher's classifier with the labels: the teacher '{name}' has {found} "
            f"classes, and the data {classes}"
        )


def _translator(channels: int, width: int, form: str, factor: int) -> nn.Sequential:
    """One convolution, or three with fewer channels between them; batch norm and ReLU follow each."""
    middle = max(channels // factor, 1)
    steps = [(channels, width, 1)]
    if form == "bottleneck":
        steps = [(channels, middle, 1), (middle, middle, 3), (middle, width, 1)]
    layers: list[nn.Module] = []
    for inputs, outputs, kernel in steps:
        layers += [
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
            BatchNormOverProcesses(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
