"""The core's recipes: general ways to train, which belong to no single method."""

from __future__ import annotations

from typing import Final

from kdcore.entries import RecipeEntry

RECIPES: Final = (
    RecipeEntry(
        name="cifar-224-cnn",
        summary="CIFAR-100 at 224 px, for CNN students: 300 epochs of SGD, cosine, whole batch 1024.",
        path="kdcore.spec.recipes:cifar-224-cnn.toml",
    ),
    RecipeEntry(
        name="cifar-224-finetune",
        summary="Fine-tuning ImageNet weights at 224 px, for the teachers of cifar-224: 300 epochs of AdamW at 5e-5.",
        path="kdcore.spec.recipes:cifar-224-finetune.toml",
    ),
    RecipeEntry(
        name="cifar-224-vit",
        summary="CIFAR-100 at 224 px, for ViT and MLP students: 300 epochs of AdamW, mixup, CutMix and RandAugment.",
        path="kdcore.spec.recipes:cifar-224-vit.toml",
    ),
    RecipeEntry(
        name="cifar-240-mobile",
        summary="cifar-240 at a learning rate of 0.01, which the tables give their small depthwise students.",
        path="kdcore.spec.recipes:cifar-240-mobile.toml",
    ),
    RecipeEntry(
        name="cifar-240",
        summary="The CIFAR-100 tables: 240 epochs of SGD at 0.05 in three steps, whole batch 64.",
        path="kdcore.spec.recipes:cifar-240.toml",
    ),
    RecipeEntry(
        name="imagenet-100",
        summary="The ImageNet tables: 100 epochs of SGD at 0.2 in three steps, whole batch 512.",
        path="kdcore.spec.recipes:imagenet-100.toml",
    ),
    RecipeEntry(
        name="imagenet-300-vit",
        summary="ImageNet for ViT and MLP students: 300 epochs of AdamW, DeiT's augmentation, EMA, whole batch 1024.",
        path="kdcore.spec.recipes:imagenet-300-vit.toml",
    ),
    RecipeEntry(
        name="imagenet-450",
        summary="ImageNet for mobile students: 450 epochs of RMSprop, RandAugment, EMA and dropout, whole batch 768.",
        path="kdcore.spec.recipes:imagenet-450.toml",
    ),
)
