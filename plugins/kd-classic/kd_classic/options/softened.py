"""Options of the methods that compare softened class probabilities as a whole. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kd_classic.options.shared import STANDARDIZE, CorrectOptions, LogitOptions
from kdcore import DistillerOptions


class KDOptions(LogitOptions):
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
    standardize: bool = Field(default=False, description=STANDARDIZE + ", with a task weight of 0.1.")


class MLDOptions(DistillerOptions):
    """MLD (Yang et al., ICCV 2023), with the weight of the authors' COCO script, for a task loss that is a mean."""

    weight: float = Field(
        default=0.15625,
        ge=0,
        description="Factor of the loss term, a mean over images and labels. In the authors' code 10, with a task "
        "loss that is summed over a batch of 64.",
    )
    temperature: float = Field(
        default=1.0, gt=0, description="Divides the logits of student and teacher. The authors have none."
    )


class CTKDOptions(LogitOptions):
    """CTKD (Li et al., AAAI 2023) with one temperature for all samples, defaults of the authors' CIFAR-100 scripts."""

    weight: float = Field(
        default=0.9, ge=0, description="Factor of the loss term. 0.9 with a task weight of 0.1."
    )
    minimum: float = Field(default=1.0, gt=0, description="The lowest temperature that can be learned.")
    span: float = Field(
        default=20.0,
        gt=0,
        description="The highest temperature minus the lowest one. The first temperature is "
        "minimum + 0.73 * span, 15.6 by default.",
    )
    ramp_epochs: int = Field(
        default=10,
        ge=0,
        description="Epochs in which the reversed gradient of the temperature grows from 0 to its full size, "
        "as a cosine; 0: full from the start.",
    )


class DHKDOptions(CorrectOptions):
    """DHKD (Yang et al., 2024), defaults of the authors' CIFAR-100 code."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term. ImageNet: 0.1.")
    temperature: float = Field(
        default=2.0,
        gt=0,
        description="Divides the difference between the second head's logits and the teacher's.",
    )
    head: Literal["mlp", "linear"] = Field(
        default="mlp",
        description="The second head. mlp (CIFAR-100): linear, dropout, batch norm, ReLU, linear. linear: ImageNet.",
    )
    hidden: int = Field(default=200, ge=1, description="Width of the hidden layer of `mlp`.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout in `mlp`.")


class TTMOptions(CorrectOptions):
    """TTM (Zheng and Yang, ICLR 2024), with the values of the authors' example, VGG-13 to VGG-8 on CIFAR-100."""

    weight: float = Field(default=45.0, ge=0, description="Factor of the loss term.")
    gamma: float = Field(
        default=0.1,
        gt=0,
        description="The power of the teacher's probabilities before they are normalised again; 1/T of KD.",
    )


class WTTMOptions(CorrectOptions):
    """WTTM (Zheng and Yang, ICLR 2024).

    The authors published values for one pair only: VGG-13 to VGG-8 on CIFAR-100, together with CRD of weight 0.8.
    """

    weight: float = Field(default=4.0, ge=0, description="Factor of the loss term.")
    gamma: float = Field(
        default=0.2,
        gt=0,
        description="The power of the teacher's probabilities before they are normalised again; 1/T of KD.",
    )


class BKDOptions(CorrectOptions):
    """Binary KD (Hao et al., NeurIPS 2023), with the default of the authors' code."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")


class NormKDOptions(CorrectOptions):
    """NormKD (Chi et al., 2023), with the values of the authors' CIFAR-100 configuration."""

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor of the loss term. 0.9 with a task weight of 0.1; ImageNet: 0.5 with a task weight of 0.5.",
    )
    temperature: float = Field(
        default=2.0,
        gt=0,
        description="Times the deviation of a sample's logits, this is its temperature. ImageNet: 1.",
    )


class LumiNetOptions(CorrectOptions):
    """LumiNet (Hossain et al., 2023), with the authors' values for ResNet-32x4 to ResNet-8x4 on CIFAR-100.

    The authors use a task weight of 2, and a warm-up of 20 epochs.
    """

    weight: float = Field(default=1089.0, ge=0, description="Factor of the loss term: 33 squared.")
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the standardised logits of student and teacher."
    )


class EAKDOptions(LogitOptions):
    """EA-KD (Su et al., ICCV 2025), with the values of the authors' CIFAR-100 configuration."""

    weight: float = Field(
        default=0.9, ge=0, description="Factor of the loss term. 0.9 with a task weight of 0.1."
    )
    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of student and teacher.")
    entropy_temperature: float = Field(
        default=3.0, gt=0, description="Divides the logits from which the entropies are computed."
    )
    entropy_bound: Annotated[float, Field(gt=0)] | None = Field(
        default=100.0,
        description="Divides the student's entropy. The authors' code has 100 for every data set but ImageNet, where "
        "it has ln 1000. null: ln K, the largest entropy.",
    )


class ABKDOptions(LogitOptions):
    """ABKD (Wang et al., ICML 2025), with the authors' values for ResNet-56 to ResNet-20 on CIFAR-100."""

    weight: float = Field(default=32.0, ge=0, description="Factor of the loss term.")
    alpha: float = Field(
        default=0.8,
        ge=0,
        description="The power of the teacher's probabilities. Alpha 1 and beta 0 are KD without the factor T^2.",
    )
    beta: float = Field(default=0.3, ge=0, description="The power of the student's probabilities.")
    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of student and teacher.")


class TeKAPOptions(LogitOptions):
    """TeKAP (Hossain et al., ICLR 2025), with the values of the authors' code."""

    weight: float = Field(
        default=0.9, ge=0, description="Factor of the loss term. 0.9 with a task weight of 0.1."
    )
    teachers: int = Field(default=3, ge=1, description="The number of noisy copies of the teacher.")
    noise_weight: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="The share of standard normal noise in their logits; the rest are the teacher's.",
    )
    augmented_weight: float = Field(
        default=0.8, ge=0, description="Factor of each copy's divergence; the teacher's own has 1."
    )
    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of student and teacher.")
