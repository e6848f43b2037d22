"""Options of the methods that treat the target class apart from the others. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from kd_classic.options.shared import CorrectOptions, LogitOptions, StandardizeOptions
from kdcore import DistillerOptions, SpecFile


class DKDOptions(LogitOptions):
    """DKD (Zhao et al., CVPR 2022), defaults of the authors' CIFAR-100 configuration."""

    weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of both loss terms.",
    )
    alpha: float = Field(
        default=1.0, ge=0, description="Factor of the target-class term (TCKD): the target against the rest."
    )
    beta: float = Field(
        default=8.0,
        ge=0,
        description="Factor of the non-target-class term (NCKD). The authors tune it for each teacher: "
        "2 to 8 on CIFAR-100; on ImageNet 0.5 (ResNet-34 to ResNet-18) and 2 (ResNet-50 to MobileNet).",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits of student and teacher. ImageNet: 1."
    )
    warmup_epochs: int = Field(
        default=20,
        ge=0,
        description="Number of epochs over which both terms grow, in equal steps; 0: full from the start.",
    )


class NKDOptions(CorrectOptions):
    """NKD (Yang et al., ICCV 2023), defaults of the authors' loss class, which are their ImageNet values."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    gamma: float = Field(
        default=1.5, ge=0, description="Factor of the non-target term. CIFAR-100: 3.5; DeiT students: 1."
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description="Divides the non-target logits; the target term has no temperature. CIFAR-100: 3.",
    )


class SDDOptions(DistillerOptions):
    """SDD (Luo, CVPR 2024), defaults of the authors' code for CIFAR-100 in its KD form.

    In that form the task loss has weight 0.1. The authors' DKD form has weight 1, a task weight of 1, and a warm-up.
    """

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor of the loss term. 0.9 with a task weight of 0.1; form dkd: 1 with 1.",
    )
    form: Literal["kd", "dkd"] = Field(default="kd", description="The loss of each region.")
    grids: tuple[int, ...] = Field(
        default=(1, 2),
        min_length=1,
        description="The grids of regions, 1 to 8: 1 is the whole image, which is always there, 2 are 2x2 regions. "
        "The authors use [1, 2] or [1, 2, 4], depending on the pair.",
    )
    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of student and teacher.")
    alpha: float = Field(default=1.0, ge=0, description="Factor of the target-class term of the form dkd.")
    beta: float = Field(default=8.0, ge=0, description="Factor of the non-target-class term of the form dkd.")
    warmup_epochs: int = Field(
        default=20,
        ge=0,
        description="Epochs over which the term grows in the form dkd; 0: full from the start.",
    )

    @field_validator("grids")
    @classmethod
    def _in_range(cls, grids: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= grid <= 8 for grid in grids) or len(set(grids)) != len(grids):
            raise ValueError("a grid is a number from 1 to 8, and each may be there once")
        return grids


class RLDOptions(StandardizeOptions):
    """RLD (Sun et al., ICCV 2025), with the values of the authors' CIFAR-100 command.

    The authors use a warm-up of 20 epochs on CIFAR-100 and of 1 on ImageNet.
    """

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    alpha: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the sample's confidence: the student's target score against the teacher's top score.",
    )
    beta: float = Field(
        default=8.0,
        ge=0,
        description="Factor of the masked correlation: the classes that the teacher scores below the target. "
        "ImageNet: 0.5 (ResNet-34 to ResNet-18) and 2 (ResNet-50 to MobileNet).",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits of student and teacher. ImageNet: 1."
    )
    alpha_temperature: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Divides the logits of the sample's confidence. null: as 'temperature', which the authors' command "
        "asks for with --same-t; without it, their code has 1.",
    )


class WSLDOptions(CorrectOptions):
    """WSLD (Zhou et al., ICLR 2021), with the values of the authors' ImageNet code."""

    weight: float = Field(default=2.5, ge=0, description="Factor of the loss term. CIFAR-100: 2.25.")
    temperature: float = Field(
        default=2.0,
        gt=0,
        description="Divides the logits of the soft labels; the weights have no temperature. CIFAR-100: 4.",
    )


class LDRLDOptions(LogitOptions):
    """LDRLD (Xu et al., ICCV 2025), with the authors' values for ResNet-32x4 to ResNet-8x4 on CIFAR-100."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    alpha: float = Field(
        default=10.5, ge=0, description="Factor of the relations of the student's top classes."
    )
    beta: float = Field(default=7.0, ge=0, description="Factor of the remaining classes.")
    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of student and teacher.")
    top_k: int = Field(
        default=7, ge=2, description="The number of top classes; if there are fewer classes, all of them."
    )


class WKDOptions(CorrectOptions):
    """WKD-L (Lv et al., NeurIPS 2024), with the authors' values for ResNet-32x4 to ResNet-8x4 on CIFAR-100."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    gamma: float = Field(
        default=600.0,
        ge=0,
        description="Factor of the distance. WRN-40-2 to ShuffleNetV1: 200; ImageNet: 30 (ResNet-34 to ResNet-18) and "
        "25 (ResNet-50 to MobileNet).",
    )
    temperature: float = Field(
        default=8.0,
        gt=0,
        description="Divides the logits of the distance. WRN-40-2 to ShuffleNetV1: 6; ImageNet: 2.",
    )
    regularization: float = Field(
        default=0.05, gt=0, description="Strength of the entropic regularisation in Sinkhorn's algorithm."
    )
    iterations: int = Field(default=10, ge=1, description="Iterations of Sinkhorn's algorithm.")
    cost: Literal["classifier", "logits", "file"] = Field(
        default="classifier",
        description="What the costs come from. classifier: the distance d of two classes is 1 - the cosine of their "
        "rows in the teacher's classifier. logits: 1 - the linear CKA of the teacher's logits for the samples of both, "
        "as for the published ImageNet results; it takes a pass of the teacher over the training images. file: those "
        "in cost_file, such as the authors' tables.",
    )
    cost_file: SpecFile | None = Field(
        default=None,
        description="With cost 'file': a .pt, .pth or .safetensors file with one tensor [K, K], the distance d of each "
        "two classes, in the order of the data's classes. The path is relative to the spec.",
    )
    cost_samples: int = Field(
        default=128,
        ge=2,
        description="With cost 'logits': the samples of each class that are compared, or as many as the smallest class "
        "has. They take 4 * cost_samples * classes^2 bytes. The authors use all that the smallest class has.",
    )
    sharpen: float = Field(
        default=1.0,
        ge=0,
        description="The cost of two classes is 1 - exp(-sharpen * d); 0: d itself. "
        "ImageNet, ResNet-50 to MobileNet: 2.",
    )
    decay_from_epoch: Annotated[int, Field(ge=0)] | None = Field(
        default=150,
        description="From this epoch on, 'gamma' falls to 0 along half a cosine. ImageNet: 0. null: it stays.",
    )

    @model_validator(mode="after")
    def _file_or_not(self) -> Self:
        if (self.cost == "file") != (self.cost_file is not None):
            raise ValueError("cost 'file' and cost_file belong together: give both, or neither")
        return self
