"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kd_classic.entries import decoupled, networks, relations, softened, teacher_free, tokens
from kdcore import DistillerEntry, Paper, RecipeEntry, hookimpl

PLUGIN_API = 1

_VANILLA_KD = Paper(
    title="VanillaKD: Revisit the Power of Vanilla Knowledge Distillation from Small Scale to Large Scale",
    year=2023,
    url="https://arxiv.org/abs/2305.15781",
)
_FAMILIES = (softened, decoupled, relations, teacher_free, networks, tokens)


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """The logit methods, each with the weight of the task loss in its authors' recipe."""
    return [entry for family in _FAMILIES for entry in family.ENTRIES]


@hookimpl
def kd_recipes() -> list[RecipeEntry]:
    """The training settings of these methods' own papers; settings that several papers share are the core's."""
    return [
        RecipeEntry(
            name="cifar-200",
            summary="NKD's CIFAR-100: 200 epochs of SGD at 0.1 in three steps of 0.2, whole batch 128.",
            path="kd_classic:recipes/cifar-200.toml",
            paper=decoupled.NKD_PAPER,
        ),
        RecipeEntry(
            name="imagenet-100-dist",
            summary="DIST's strategy B1: 100 epochs of Nesterov SGD at 0.1, a tenth every 30, whole batch 256.",
            path="kd_classic:recipes/imagenet-100-dist.toml",
            paper=relations.DIST_PAPER,
        ),
        RecipeEntry(
            name="imagenet-300-vanilla",
            summary="VanillaKD's strategy A2: 300 epochs of LAMB, CutMix and RandAugment, whole batch 2048.",
            path="kd_classic:recipes/imagenet-300-vanilla.toml",
            paper=_VANILLA_KD,
        ),
        RecipeEntry(
            name="imagenet-600-vanilla",
            summary="VanillaKD's strategy A1: as A2, for 600 epochs, with label smoothing and more mixup.",
            path="kd_classic:recipes/imagenet-600-vanilla.toml",
            paper=_VANILLA_KD,
        ),
        RecipeEntry(
            name="imagenet-1200-matching",
            summary="Function matching: 1200 epochs of AdamW, one crop and strong mixup for both models, no labels.",
            path="kd_classic:recipes/imagenet-1200-matching.toml",
            paper=Paper(
                title="Knowledge Distillation: A Good Teacher Is Patient and Consistent",
                year=2022,
                url="https://arxiv.org/abs/2106.05237",
            ),
        ),
    ]
