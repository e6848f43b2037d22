"""Options of the methods whose heads make the teacher's maps from the student's. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kd_feature.options.shared import ALL_STAGES, STAGES, StageChoice, Stages
from kdcore import DistillerOptions


class ReviewKDOptions(DistillerOptions):
    """ReviewKD (Chen et al., CVPR 2021)."""

    weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the loss term. The authors' scripts for CIFAR-100 have 0.6 for ResNet-56 to ResNet-20, "
        "1 for ResNet-110 to ResNet-32, 5 for WRN, ResNet-8x4 and ShuffleNetV1, 8 for ShuffleNetV2.",
    )
    stages: Stages = Field(default=ALL_STAGES, description=STAGES + ". Their order is from shallow to deep.")
    pre_activation: bool = Field(
        default=True,
        description="Compare the maps before the last ReLU of each stage, as the authors do. It changes numbered "
        "stages of networks such as ResNet and RegNet; other networks have no ReLU there. false: after it.",
    )
    embedding: bool = Field(
        default=True, description="Compare the embeddings too, as the deepest map, with a grid of 1x1."
    )
    mid_channels: int | None = Field(
        default=None,
        ge=1,
        description="Channels of the maps that are fused; null: those of the student's deepest, 512 at most. The "
        "authors' ImageNet runs have 512 for ResNet-18 and 256 for MobileNet.",
    )


class MGDOptions(DistillerOptions):
    """MGD, masked generative distillation (Yang et al., ECCV 2022)."""

    weight: float = Field(
        default=7e-5,
        ge=0,
        description="Factor of the loss term, a sum over channels and places: 7e-5 for ImageNet, 1.2e-3 for CIFAR-100.",
    )
    stages: Stages = Field(default=(4,), description=STAGES + ".")
    mask_ratio: float = Field(
        default=0.15, ge=0, lt=1, description="Part of the student's map that is hidden."
    )
    mask: Literal["channels", "places"] = Field(
        default="channels",
        description="What is hidden: channels of each sample (the authors' code for classification), or places.",
    )


class ViTKDOptions(DistillerOptions):
    """ViTKD (Yang et al., CVPRW 2024)."""

    mimic_weight: float = Field(
        default=3e-5, ge=0, description="Factor of the term of the first blocks, a sum."
    )
    generation_weight: float = Field(
        default=3e-6, ge=0, description="Factor of the term of the last features, a sum."
    )
    mask_ratio: float = Field(
        default=0.5, gt=0, lt=1, description="Part of the student's tokens that are hidden and generated."
    )
    stages: Stages = Field(
        default=("blocks.0", "blocks.1"),
        description="The first blocks, whose tokens are mimicked: stages 1..4 or module paths; a pair [student's, "
        "teacher's] if they differ.",
    )
    last: StageChoice = Field(default="norm", description="The last features, which are generated.")


class OFDOptions(DistillerOptions):
    """OFD, the overhaul of feature distillation (Heo et al., ICCV 2019)."""

    weight: float = Field(
        default=1e-3, ge=0, description="Factor of the loss term: 1e-3 for CIFAR-100, 1e-4 for ImageNet."
    )
    stages: Stages = Field(
        default=ALL_STAGES,
        description="Stages whose maps before the last ReLU are compared, from shallow to deep, each 1..4 or a module "
        "path such as 'layer4.1.act2:in'; a pair [student's, teacher's] if they differ.",
    )
    teacher_norms: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="The module path of the teacher's batch norm before the ReLU of each stage, from which the margins "
        "come; null: found, for networks such as ResNet and RegNet.",
    )


class ScaleKDOptions(DistillerOptions):
    """ScaleKD (Fan et al., NeurIPS 2024), by default without the pass through the teacher's last stage."""

    spatial_weight: float = Field(default=0.08, ge=0, description="Factor of the term `spatial`, a sum.")
    frequency_weight: float = Field(default=0.06, ge=0, description="Factor of the term `frequency`, a sum.")
    stages: Stages = Field(default=(4,), description=STAGES + ".")
    heads: int | None = Field(
        default=None,
        ge=1,
        description="Attention heads of the projectors; null: one for 64 of the teacher's channels.",
    )
    softmax_scale: float = Field(
        default=5.0, gt=0, description="Factor of the products of queries and keys before the softmax."
    )
    through_teacher: bool = Field(
        default=False,
        description="Also project the student's stage 3 to the teacher's, run it through the teacher's last stage, and "
        "match the result with the teacher's stage 4; it then gives the queries of stage 4 (the authors' setting).",
    )


class DiffKDOptions(DistillerOptions):
    """DiffKD (Huang et al., NeurIPS 2023)."""

    stages: Stages = Field(default=(4,), description=STAGES + ".")
    steps: int = Field(default=5, ge=1, le=500, description="Steps in which the student's noise is removed.")
    latent_channels: int | None = Field(
        default=1024,
        ge=1,
        description="Channels of the autoencoder of the teacher's map; null: without an autoencoder.",
    )


class SemCKDOptions(DistillerOptions):
    """SemCKD (Chen et al., AAAI 2021)."""

    weight: float = Field(default=400.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(
        default=ALL_STAGES,
        description="Stages of both models, each 1..4 or a module path; a pair [student's, teacher's] if they differ. "
        "Every stage of the student is compared with every stage of the teacher.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Samples of the whole batch, of all processes: the attention has weights for each of them. null: "
        "`train.batch_size`. Smaller batches are filled with zeros, larger ones are errors.",
    )
    softness: float = Field(default=1.0, gt=0, description="Divides the products of queries and keys.")
