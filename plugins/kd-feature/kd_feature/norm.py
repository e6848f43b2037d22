"""NORM: the student's last map is expanded to several copies of the teacher's, in layers that stay in the student."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.classifiers import classifier_of, classify, is_mean, pools_last_map
from kd_feature.heads import conv_norm
from kd_feature.stages import teacher_of
from kdcore import Problem, Requires, UserError
from kdcore.ops import at_least_float32, logits_of, prepare_features, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_feature.options.classifiers import NORMOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_EPS = 1e-7  # from the authors' code, of the norm of the logits


def norm_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """N times the mean squared difference of N copies of the teacher's map to the student's.

    `student_map` is `[B, N C, H, W]`, `teacher_map` `[B, C, H, W]`. The gradient goes to the student only. The result
    is float32 if the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Liu et al., "NORM: Knowledge Distillation via N-to-One Representation Matching", ICLR 2023, equation 4, with
    the factor of the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    copies, rest = divmod(student_map.shape[1], teacher_map.shape[1])
    ours, theirs = ((one.shape[0], *one.shape[2:]) for one in (student_map, teacher_map))
    if rest or not copies or ours != theirs:
        raise ValueError(
            f"student_map has shape {list(student_map.shape)}, teacher_map {list(teacher_map.shape)}; this loss "
            "compares element by element N copies of the teacher's channels on one grid"
        )
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    parts = student.reshape(len(student), copies, *teacher.shape[1:])
    return copies * F.mse_loss(parts, teacher.unsqueeze(1).expand_as(parts))


class Expansion(nn.Module):
    """A 1x1 convolution with batch norm to N times the teacher's channels, and one back, which is added to the map."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.expand = conv_norm(channels, width, from_fan_out=True)
        self.contract = conv_norm(width, channels, from_fan_out=True)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, C, H, W]` -> the expanded map, and the map with the residual, `[B, C, H, W]`."""
        expanded = self.expand(features)
        return expanded, features + self.contract(expanded)


def scaled_norm(logits: Tensor, scale: float) -> Tensor:
    """Logits `[B, K]` minus their mean over the classes, divided by their deviation, times the scale."""
    return F.layer_norm(logits, logits.shape[1:], eps=_EPS) * scale


class Expanded(nn.Module):
    """The student with the expansion in front of the mean over the places: `[B, C, H, W]` to logits `[B, K]`.

    The logits are normalised, as in training: the probabilities of others would have a size that was never trained.
    """

    def __init__(self, model: nn.Module, extract: Any, expansion: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.expansion, self.extract, self.scale = model, expansion, extract, scale

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        features = self.extract(self.model, images, (4,)).features[4].map
        _, new = self.expansion(features)
        model: Any = self.model
        logits = classify(model.get_classifier(), new.mean(dim=(2, 3)))
        return scaled_norm(at_least_float32(logits), self.scale)


class NORM(nn.Module):
    """The distiller `norm`, with the loss terms `norm` and `classes`, and with a `kd_weight` also `kd`.

    The expansion has batch norm, so it sees the whole batch, and stays in the student. kd's task loss reads the student
    without it, so its weight is 0 by default, and the term `classes` takes its place: the cross-entropy of normalised
    logits. `kd` is the divergence of both models' normalised logits. A larger map is reduced by its maxima.

    Raises:
        ValueError: there is no teacher.
        UserError: the student's classifier does not read the means of its last map.
    """

    def __init__(self, options: NORMOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        ours, theirs = setup.student.stage(4), teacher_of(setup).stage(4)
        classifier = classifier_of(setup.student, "norm")
        pooled = pools_last_map(setup.student)
        if pooled is False:
            raise UserError(_refusal(setup.student.name))
        self.unchecked = None if pooled else setup.student.name  # then the first step finds out
        self.expansion = Expansion(ours.channels, options.copies * theirs.channels)
        self.kept = (setup.student.extract, classifier)  # in a tuple, because they are not the distiller's
        self.requires = Requires(
            student_stages=(4,),
            teacher_stages=(4,),
            student_embedding=not pooled,
            whole_batch=True,
            target=True,
            teacher_logits=options.kd_weight > 0,
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted.

        Raises:
            UserError: in the first step, if the student's classifier does not read the means of the last map.
        """
        options = self.options
        if self.unchecked is not None:
            name, self.unchecked = self.unchecked, None
            embedding = student.embedding
            if embedding is None or not (
                embedding.is_meta or bool(is_mean(student.features[4].map, embedding))
            ):
                raise UserError(_refusal(name))
        theirs = teacher.features[4].map
        expanded, new = self.expansion(student.features[4].map)
        target = target_of(batch, "norm")
        logits = at_least_float32(classify(self.kept[1], new.mean(dim=(2, 3))))
        scaled = scaled_norm(logits, options.logit_scale)
        if target.is_floating_point():
            target = target.to(scaled.dtype)
        terms = {
            "norm": norm_loss(*_on_one_grid(expanded, theirs)),
            "classes": options.classes_weight * F.cross_entropy(scaled, target),
        }
        if options.kd_weight:
            of_teacher = at_least_float32(logits_of(student, teacher)[1].detach())
            terms["kd"] = options.kd_weight * _divergence(
                scaled, scaled_norm(of_teacher, options.logit_scale), options.kd_temperature
            )
        return {name: options.weight * term for name, term in terms.items()}

    def student(self, model: nn.Module) -> nn.Module:
        """The student with the expansion."""
        return Expanded(model, self.kept[0], self.expansion, self.options.logit_scale)


def _divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """The divergence of KD, times temperature^2."""
    ours, theirs = (
        F.log_softmax(one / temperature, dim=1) for one in prepare_logits(student_logits, teacher_logits)
    )
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def _on_one_grid(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    grid = (min(ours.shape[2], theirs.shape[2]), min(ours.shape[3], theirs.shape[3]))
    return _maxima(ours, grid), _maxima(theirs.detach(), grid)


def _maxima(features: Tensor, grid: tuple[int, int]) -> Tensor:
    return features if tuple(features.shape[2:]) == grid else F.adaptive_max_pool2d(features, grid)


def _refusal(name: str) -> Problem:
    return Problem(
        "distiller",
        f"norm adds layers before the mean over the places of the last map, and the classifier of {name} does not "
        "read this mean",
        hint="use a student such as timm's ResNet, MobileNet or RegNet, or another distiller",
    )
