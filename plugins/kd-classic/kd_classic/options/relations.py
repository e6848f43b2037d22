"""Options of the methods that compare relations between classes and between samples. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kd_classic.options.shared import LogitOptions


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
