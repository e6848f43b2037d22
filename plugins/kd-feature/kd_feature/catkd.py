"""CAT-KD: match the maps of class activation, which say where each class is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.classifiers import class_weights, classifier_of, is_mean, pools_last_map
from kd_feature.grids import check_same_channels
from kd_feature.stages import teacher_of
from kdcore import Problem, Requires, UserError
from kdcore.ops import full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.classifiers import CATKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def cat_kd_loss(
    student_cam: Tensor, teacher_cam: Tensor, resolution: int = 2, normalize: bool = False
) -> Tensor:
    """The mean squared difference of the class activation maps, averaged on a grid of `resolution` x `resolution`.

    Both are `[B, K, H, W]`; B and K are equal, the grids may differ. With `normalize`, each averaged map is divided by
    its L2 norm. The gradient goes to the student only. The result is float32 if the maps have a narrower type,
    otherwise it has the type of the student's.

    Source: Guo et al., "Class Attention Transfer Based Knowledge Distillation", CVPR 2023, equation 5, and the authors'
    `CAT_loss`.

    Raises:
        ValueError: the shapes or types do not fit, or the resolution is not at least 1.
    """
    if resolution < 1:
        raise ValueError(f"resolution is {resolution}; it must be at least 1")
    check_same_channels(student_cam, teacher_cam)
    student, teacher = prepare_features(student_cam, teacher_cam, dims=4)
    ours, theirs = (F.adaptive_avg_pool2d(cam, resolution) for cam in (student, teacher))
    if normalize:
        ours, theirs = (F.normalize(cam.flatten(2), dim=2) for cam in (ours, theirs))
    return F.mse_loss(ours, theirs)


class CATKD(nn.Module):
    """The distiller `catkd`, with the loss term `catkd`: `cat_kd_loss` of the last maps under both classifiers.

    The class activation maps are the last map times the weights of the linear classifier, without its bias. The
    gradient reaches the student's classifier too. The maps are averaged first, which gives the same values.

    Raises:
        ValueError: there is no teacher.
        UserError: a model's classifier is not linear, or does not read the means of its last map.
    """

    def __init__(self, options: CATKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        models = (setup.student, teacher_of(setup))
        self.classifiers = tuple(classifier_of(model, "catkd") for model in models)
        self.unchecked = []
        for name, model, classifier in zip(("student", "teacher"), models, self.classifiers, strict=True):
            class_weights(classifier, "catkd")
            pooled = pools_last_map(model)
            if pooled is False:
                raise UserError(_refusal(model.name))
            if pooled is None:  # then the first step finds out
                self.unchecked.append((name, model.name))
        names = [name for name, _ in self.unchecked]
        self.requires = Requires(
            student_stages=(4,),
            teacher_stages=(4,),
            student_embedding="student" in names,
            teacher_embedding="teacher" in names,
            teacher_logits=False,
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted.

        Raises:
            UserError: in the first step, if a classifier does not read the means of the last map.
        """
        outputs = {"student": student, "teacher": teacher}
        while self.unchecked:
            name, model = self.unchecked.pop()
            _check(outputs[name], model)
        cams = [
            self._cam(output.features[4].map, classifier)
            for output, classifier in zip((student, teacher), self.classifiers, strict=True)
        ]
        loss = cat_kd_loss(cams[0], cams[1], self.options.resolution, self.options.normalize)
        return {"catkd": self.options.weight * loss}

    def _cam(self, features: Tensor, classifier: nn.Module) -> Tensor:
        weight = class_weights(classifier, "catkd")
        dtype = torch.promote_types(features.dtype, torch.float32)
        averaged = F.adaptive_avg_pool2d(features.to(dtype), self.options.resolution)
        with full_precision(features.device):
            cam = torch.matmul(weight.to(dtype), averaged.flatten(2))
        return cam.view(*cam.shape[:2], *averaged.shape[2:])


def _check(output: ModelOutput, name: str) -> None:
    features, embedding = output.features[4].map, output.embedding
    if embedding is None or embedding.is_meta:
        return
    if embedding.shape != features.shape[:2] or not bool(is_mean(features, embedding)):
        raise UserError(_refusal(name))


def _refusal(name: str) -> Problem:
    return Problem(
        "distiller",
        f"catkd needs logits that are linear in the mean of the last map, and those of {name} are not: its classifier "
        "reads something else, such as a class token, or a norm lies between",
        hint="use networks such as ResNet, MobileNet or RegNet, or another distiller",
    )
