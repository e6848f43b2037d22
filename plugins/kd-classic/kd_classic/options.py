"""The options of this plugin's distillers. Imports no torch.

A method's defaults are those of its authors' own code. Where that has several recipes: KD and DKD take the
CIFAR-100 values, which mdistiller has as the defaults of its configuration. NKD and DIST take the defaults of
the authors' loss classes, which are their ImageNet recipes; the CIFAR-100 values are in the descriptions.
"""

from __future__ import annotations

from pydantic import Field

from kdcore import DistillerOptions

_STANDARDIZE = (
    "Replace each sample's logits, of student and teacher, by their z-scores over the classes first "
    "(Logit Standardization, CVPR 2024). Its authors use it with temperature 2 and weight 9"
)


class KDOptions(DistillerOptions):
    """KD (Hinton et al., 2015), defaults of the CIFAR-100 recipe that later papers compare with.

    Beside a task loss of weight 0.1. The usual ImageNet recipe (mdistiller) is temperature 1, weight 0.5 and
    task weight 0.5.
    """

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor over the loss term. 0.9 beside a task weight of 0.1; ImageNet: 0.5 beside 0.5.",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits of student and teacher. ImageNet: 1."
    )
    standardize: bool = Field(default=False, description=_STANDARDIZE + ", beside a task weight of 0.1.")


class DKDOptions(DistillerOptions):
    """DKD (Zhao et al., CVPR 2022), defaults of the authors' CIFAR-100 configuration."""

    weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor over both loss terms.",
    )
    alpha: float = Field(
        default=1.0, ge=0, description="Factor of the target-class term (TCKD): the target against the rest."
    )
    beta: float = Field(
        default=8.0,
        ge=0,
        description="Factor of the non-target-class term (NCKD). The authors tune it with the teacher: "
        "2 to 8 on CIFAR-100; on ImageNet 0.5 (ResNet-34 to ResNet-18) and 2 (ResNet-50 to MobileNet).",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits of student and teacher. ImageNet: 1."
    )
    warmup_epochs: int = Field(
        default=20,
        ge=0,
        description="Both terms grow over so many epochs, by the same step each; 0: full from the start.",
    )
    standardize: bool = Field(default=False, description=_STANDARDIZE + ".")


class NKDOptions(DistillerOptions):
    """NKD (Yang et al., ICCV 2023), defaults of the authors' loss class, which are their ImageNet values."""

    weight: float = Field(default=1.0, ge=0, description="Factor over both loss terms.")
    gamma: float = Field(
        default=1.5, ge=0, description="Factor of the non-target term. CIFAR-100: 3.5; DeiT students: 1."
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description="Divides the non-target logits; the target term has none. CIFAR-100: 3.",
    )


class DISTOptions(DistillerOptions):
    """DIST (Huang et al., NeurIPS 2022), defaults of the authors' loss class and of their ImageNet recipes.

    The two factors and the weight are the same in all their recipes. The temperature is not: 1 on
    ImageNet and by default in their code, 4 on CIFAR-100, where the terms are 16 times as large for it.
    """

    weight: float = Field(
        default=2.0,
        ge=0,
        description="Factor over both loss terms. 2 beside a task weight of 1 in every recipe.",
    )
    beta: float = Field(
        default=1.0, ge=0, description="Factor of the inter-class term: each sample over the classes."
    )
    gamma: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the intra-class term: each class over the samples of the batch.",
    )
    temperature: float = Field(
        default=1.0, gt=0, description="Divides the logits of student and teacher. CIFAR-100: 4."
    )
