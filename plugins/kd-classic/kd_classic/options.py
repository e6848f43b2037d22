"""The options of this plugin's distillers. Imports no torch.

The defaults of a method are those of its authors' own code. If that has several recipes: KD and DKD use the
CIFAR-100 values, which are the defaults of mdistiller's configuration. NKD and DIST use the defaults of the
authors' loss classes, which are their ImageNet recipes; the CIFAR-100 values are in the descriptions.
"""

from __future__ import annotations

from pydantic import Field

from kdcore import DistillerOptions

_STANDARDIZE = (
    "First replace the logits of each sample, of student and teacher, by their z-scores over the classes "
    "(Logit Standardization, CVPR 2024). Its authors use it with temperature 2 and weight 9"
)


class KDOptions(DistillerOptions):
    """KD (Hinton et al., 2015), with the defaults of the CIFAR-100 recipe that later papers compare with.

    The task loss has weight 0.1. The usual ImageNet recipe (mdistiller) is temperature 1, weight 0.5 and task
    weight 0.5.
    """

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor of the loss term. 0.9 with a task weight of 0.1; ImageNet: 0.5 with a task weight of 0.5.",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits of student and teacher. ImageNet: 1."
    )
    standardize: bool = Field(default=False, description=_STANDARDIZE + ", with a task weight of 0.1.")


class DKDOptions(DistillerOptions):
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
    standardize: bool = Field(default=False, description=_STANDARDIZE + ".")


class NKDOptions(DistillerOptions):
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


class DISTOptions(DistillerOptions):
    """DIST (Huang et al., NeurIPS 2022), defaults of the authors' loss class and of their ImageNet recipes.

    The two factors and the weight are the same in all their recipes. The temperature differs: 1 on ImageNet
    and by default in their code, 4 on CIFAR-100, which makes the terms 16 times as large there.
    """

    weight: float = Field(
        default=2.0,
        ge=0,
        description="Factor of both loss terms. 2 with a task weight of 1 in every recipe.",
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
