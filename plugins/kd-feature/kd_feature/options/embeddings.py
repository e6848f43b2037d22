"""Options of the methods that compare embeddings and tokens of encoders. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kd_feature.options.shared import STAGE_OF_STUDENT, STAGE_OF_TEACHER, LastStage, StageOfModel
from kdcore import DistillerOptions


class VkDOptions(DistillerOptions):
    """VkD, distillation through an orthogonal projection (Miles et al., CVPR 2024)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    features: Literal["map", "embedding"] = Field(
        default="map",
        description="'map': the mean over the positions of a map, without class and register tokens. 'embedding': the "
        "embeddings.",
    )
    student_stage: LastStage = Field(default="last", description=STAGE_OF_STUDENT)
    teacher_stage: LastStage = Field(default="last", description=STAGE_OF_TEACHER)


class DenseOptions(DistillerOptions):
    """Dense, the second version of LightlyTrain's distillation."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    student_stage: LastStage = Field(default="last", description=STAGE_OF_STUDENT)
    teacher_stages: Annotated[tuple[StageOfModel, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="The teacher's stages whose maps are joined, each 1..4 or a module path. By default its last two "
        "blocks, if it has a list of blocks on one grid, otherwise stage 4.",
    )
    hidden_layers: int = Field(
        default=0,
        ge=0,
        description="Hidden layers of the student's head, each 2048 wide, with layer norm and GELU; 0: one linear "
        "layer.",
    )


class CosineOptions(DistillerOptions):
    """Cosine and smooth L1, with the weights of AM-RADIO (Ranzinger et al., CVPR 2024)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    summary_weight: float = Field(
        default=1.0, ge=0, description="Factor of the term of embeddings; 0 leaves it out."
    )
    spatial_weight: float = Field(
        default=1.0, ge=0, description="Factor of the term of the maps' tokens; 0 leaves it out."
    )
    summary_cosine: float = Field(
        default=1.0, ge=0, description="Factor of 1 - cosine of the embeddings. UNIC: 0.5."
    )
    summary_smooth_l1: float = Field(
        default=0.0, ge=0, description="Factor of smooth L1 of the embeddings. UNIC: 0.5."
    )
    spatial_cosine: float = Field(
        default=0.9, ge=0, description="Factor of 1 - cosine of the tokens. UNIC: 0.5."
    )
    spatial_smooth_l1: float = Field(
        default=0.1, ge=0, description="Factor of smooth L1 of the tokens. UNIC: 0.5."
    )
    loss: Literal["cosine", "mse"] = Field(
        default="cosine",
        description="'mse': the mean squared difference instead of both, for standardised targets (RADIOv2.5).",
    )
    standardise: Literal["none", "phi-s"] = Field(
        default="none",
        description="'phi-s': rotate and scale the teacher's features to variance 1 in every channel (Ranzinger et "
        "al., 2024), with statistics from one pass of the teacher over the training set.",
    )
    head: Literal["linear", "mlp", "mlp2"] = Field(
        default="mlp",
        description="The student's heads. 'mlp': linear layer, layer norm, ReLU, linear layer (RADIO's first). 'mlp2': "
        "linear layer, a residual block of layer norm, GELU and linear layer, layer norm, GELU, linear layer (its "
        "second).",
    )
    hidden_dim: int | None = Field(
        default=None, ge=1, description="Width inside the heads; by default the teacher's."
    )
    student_stage: LastStage = Field(default="last", description=STAGE_OF_STUDENT)
    teacher_stage: LastStage = Field(default="last", description=STAGE_OF_TEACHER)


class PADOptions(DistillerOptions):
    """PAD, prime-aware adaptive distillation (Zhang et al., ECCV 2020)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")


class NDOptions(DistillerOptions):
    """ND, the norm and direction of features (Wang et al., 2023), the addition that makes KD++ of KD."""

    weight: float = Field(default=2.0, ge=0, description="Factor of the loss term.")
    dropout: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Dropout in the student's head, which exists if the dimensions differ.",
    )


class TheiaOptions(DistillerOptions):
    """Theia (Shang et al., CoRL 2024)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    standardise: bool = Field(
        default=True,
        description="Standardise the channels of the teacher's tokens, with statistics from one pass of the teacher "
        "over the training set.",
    )
    student_stage: LastStage = Field(default="last", description=STAGE_OF_STUDENT)
    teacher_stage: LastStage = Field(default="last", description=STAGE_OF_TEACHER)


class ProteusOptions(DistillerOptions):
    """Proteus (Zhang et al., ICLR 2025)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of all loss terms.")
    token_weight: float = Field(
        default=1.0, ge=0, description="Factor of the term of the class token; 0 leaves it out."
    )
    feature_weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the term of all tokens; 0 leaves it out, as the authors do for CLIP teachers.",
    )
    patch_weight: float | None = Field(
        default=None,
        ge=0,
        description="Factor of the term of masked patches, which needs a second pass of the student for half of the "
        "images; 0 leaves it out. By default 1 for a student that works on patches, such as ViT, otherwise 0.",
    )
    student_stage: LastStage = Field(default="last", description=STAGE_OF_STUDENT)
    teacher_stage: LastStage = Field(default="last", description=STAGE_OF_TEACHER)


class CosPressOptions(DistillerOptions):
    """CosPress, compression that preserves cosine similarities (Mannix et al., TMLR 2025)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of all loss terms.")
    temperatures: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = Field(
        default=(0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1),
        description="Divide the similarities, one after the other; the terms are means over them.",
    )
    student_stage: LastStage = Field(default="last", description=STAGE_OF_STUDENT)
    teacher_stage: LastStage = Field(default="last", description=STAGE_OF_TEACHER)


class AttnDistillOptions(DistillerOptions):
    """AttnDistill, attention distillation (Wang et al., BMVC 2022)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    attention_weight: float = Field(default=20.0, ge=0, description="Factor of the term of the attention.")
    token_weight: float = Field(default=1.0, ge=0, description="Factor of the term of the class token.")
    temperature: float = Field(
        default=20.0, gt=0, description="Divides the sum of the heads' logarithms, if they are aggregated."
    )
    aggregate: bool = Field(
        default=True,
        description="Multiply the heads of an attention. If false, both models need equally many heads, and the head's "
        "divergences are added.",
    )
    student_attention: StageOfModel | None = Field(
        default=None,
        description="The student's attention, 'attention:PATH'. By default that of the last block.",
    )
    teacher_attention: StageOfModel | None = Field(
        default=None, description="The teacher's attention, in the same way."
    )


class UNICOptions(DistillerOptions):
    """UNIC (Sariyildiz et al., ECCV 2024), and DUNE (Sariyildiz et al., CVPR 2025) by options."""

    weight: float = Field(default=1.0, ge=0, description="Factor of all loss terms.")
    cosine_weight: float = Field(default=0.5, ge=0, description="Factor of 1 - cosine.")
    smooth_l1_weight: float = Field(default=0.5, ge=0, description="Factor of smooth L1.")
    drop_probability: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Probability with which each teacher except the one with the largest loss does not count for an "
        "image.",
    )
    balance: Literal["batch", "image"] = Field(
        default="batch",
        description="'batch': divide by the number of all teachers that count for all images, as the authors' code. "
        "'image': every image has the same weight.",
    )
    standardise: Literal["ema", "batch", "none"] = Field(
        default="ema",
        description="How the channels of a teacher's tokens are standardised. 'ema': by running statistics of the "
        "steps before (UNIC). 'batch': by those of the batch (DUNE).",
    )
    momentum_start: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The share of a batch in the running statistics, at the first step.",
    )
    momentum_end: float = Field(
        default=0.001, ge=0, le=1, description="The same at the last step; along a cosine in between."
    )
    head: Literal["ladder", "block"] = Field(
        default="ladder",
        description="The student's heads. 'ladder': an MLP for each block, added up (UNIC). 'block': a transformer "
        "block and a linear layer behind the last tokens (DUNE).",
    )
    student_stages: Annotated[tuple[StageOfModel, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="The student's stages of the ladder, each 1..4 or a module path. By default all blocks of a "
        "transformer with a list of blocks on one grid, otherwise stage 4.",
    )
    hidden_dim: int = Field(default=768, ge=1, description="Width inside the ladder's MLPs.")
    last_hidden_dim: int = Field(default=3072, ge=1, description="Width inside the last one.")
    teacher_stage: LastStage = Field(default="last", description=STAGE_OF_TEACHER)
