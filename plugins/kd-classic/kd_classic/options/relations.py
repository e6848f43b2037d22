"""Options of the methods that compare relations between classes and between samples. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kd_classic.options.shared import CorrectOptions, LogitOptions


class DISTOptions(LogitOptions):
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


class SKDOptions(CorrectOptions):
    """SKD (CVPR 2026), with the defaults of the authors' code."""

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor of both loss terms. 0.9 with a task weight of 0.1; the code names 0.5 with 0.5 for "
        "ResNet-32x4 to ResNet-8x4.",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits in the instance term; the directions have none."
    )
    tikhonov: float = Field(
        default=0.1, gt=0, description="Added to the diagonal of the covariance before it is inverted."
    )
    median_factors: bool = Field(
        default=True,
        description="Multiply the terms by the shares of samples and of classes whose confidence is at most the "
        "median, as the authors' code does: 1/2 for even numbers.",
    )


class MLKDOptions(LogitOptions):
    """MLKD (Jin et al., CVPR 2023), defaults of the authors' CIFAR-100 configuration.

    The authors add 0.1 of the task loss of each of the two views; the task weight 0.2 of their mean is the same.
    """

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor of the loss term. 0.9 with a task weight of 0.2; ImageNet: 0.5 with 1.",
    )
    temperature: float = Field(
        default=4.0,
        gt=0,
        description="The first of the temperatures; the others are 2, 3, 5 and 6.",
    )
    standardize: bool = Field(
        default=False,
        description="In the first level, replace the logits of each sample, of student and teacher, by their z-scores "
        "over the classes (Logit Standardization, CVPR 2024). The other levels and the masks read the logits. Its "
        "authors use it with temperature 2 and weight 9, or 6 for some pairs, and the same task weight.",
    )
    version: Literal["released", "paper"] = Field(
        default="released",
        description="released: the sum of the authors' code, from which the published numbers come. paper: masks "
        "choose samples and classes, and every term of the strong view is the strong view's.",
    )


class CRLDOptions(CorrectOptions):
    """CRLD (Zhang et al., ACM MM 2024), defaults of DeepKD's port.

    Each of the two views has a task loss of weight 1; the task weight 2 of their mean is the same.
    """

    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of student and teacher.")
    within_weight: float = Field(default=2.0, ge=0, description="Factor of the terms within each view.")
    cross_weight: float = Field(default=0.5, ge=0, description="Factor of the terms across both views.")
    weak_threshold: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="The terms within a view count for samples whose weak view the teacher is this sure of.",
    )
    strong_threshold: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="The terms across count for samples whose strong view the teacher is this sure of.",
    )
