"""Options of the methods that contrast a sample with others. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kd_feature.options.shared import DIM, QUEUE
from kdcore import DistillerOptions


class CRDOptions(DistillerOptions):
    """CRD, contrastive representation distillation (Tian et al., ICLR 2020)."""

    weight: float = Field(default=0.8, ge=0, description="Factor of the loss term.")
    dim: int = Field(default=128, ge=1, description=DIM)
    negatives: int = Field(
        default=16384,
        ge=1,
        description="Number of samples of other classes that each sample is compared with. If fewer training samples "
        "are outside the largest class, this smaller number is used.",
    )
    temperature: float = Field(default=0.07, gt=0, description="Divides the similarities of embeddings.")
    momentum: float = Field(
        default=0.5, ge=0, le=1, description="The part of a sample's row in the memory that an update keeps."
    )


class RRDOptions(DistillerOptions):
    """RRD, relational representation distillation (Giakoumoglou and Stathaki, 2024)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    dim: int = Field(
        default=128,
        ge=1,
        description="Output width of the linear heads; the teacher's is random and not trained, as in the authors' "
        "code.",
    )
    queue: int = Field(default=16384, ge=1, description=QUEUE)
    student_temperature: float = Field(
        default=0.1, gt=0, description="Divides the student's similarities to the queue."
    )
    teacher_temperature: float = Field(
        default=0.02, gt=0, description="Divides the teacher's similarities to the queue."
    )


class DCDOptions(DistillerOptions):
    """DCD, discriminative and consistent representation distillation (Giakoumoglou and Stathaki, 2024)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    dim: int = Field(default=128, ge=1, description=DIM)
    alpha: float = Field(
        default=0.5, ge=0, description="Factor of the divergence between the similarities of both directions."
    )
    max_scale: float = Field(
        default=10.0, gt=0, description="The largest trained factor of the similarities."
    )


class SEEDOptions(DistillerOptions):
    """SEED, self-supervised distillation (Fang et al., ICLR 2021)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    queue: int = Field(default=65536, ge=1, description=QUEUE)
    student_temperature: float = Field(default=0.2, gt=0, description="Divides the student's similarities.")
    teacher_temperature: float = Field(default=1e-4, gt=0, description="Divides the teacher's similarities.")


class CompRessOptions(DistillerOptions):
    """CompRess, compressing representations (Koohpayegani et al., NeurIPS 2020)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    queue: int = Field(default=128_000, ge=1, description=QUEUE)
    temperature: float = Field(default=0.04, gt=0, description="Divides the similarities of both models.")
    momentum: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Fill the student's queue from a moving average of the student with this decay, 0.999 for the "
        "authors' models: one more pass in each step. By default from the student itself.",
    )


class QueueRelationOptions(DistillerOptions):
    """Queue relation, the first version of LightlyTrain's distillation."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    queue: int | None = Field(
        default=None,
        ge=1,
        description="Number of rows of the queue. By default the power of two that is 25 to 50 % of the training set, "
        "from 16 to 8192.",
    )
    temperature: float = Field(default=0.07, gt=0, description="Divides the similarities of both models.")
