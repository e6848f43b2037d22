"""The core's own plugin: the baseline, the digits data, the adapter for timm models, the commands."""

from __future__ import annotations

from typing import Final

from kdcore.entries import AdapterEntry, CommandEntry, DatasetEntry, DistillerEntry, ModelEntry, RecipeEntry
from kdcore.hookspecs import hookimpl

_COMMANDS: Final = (
    ("run", "Distill a student as SPEC says.", "run:run"),
    ("validate", "Find every mistake in SPEC before anything is trained.", "validate:validate"),
    ("cache-teacher", "Fill the teacher cache of SPEC ahead of its runs.", "cache_teacher:cache_teacher"),
    ("cache", "List, show, check or delete teacher caches.", "cache:cache_app"),
    ("schema", "Print the JSON Schema of a run spec.", "schema:schema"),
    ("list-distillers", "List the distillers that a spec can name.", "lists:list_distillers"),
    ("list-adapters", "List the feature adapters and the models they serve.", "lists:list_adapters"),
    ("list-datasets", "List the registered datasets.", "lists:list_datasets"),
    (
        "list-models",
        "List the models that a spec can name: timm's and those of plugins.",
        "list_models:list_models_command",
    ),
    ("list-transforms", "List what can change a student before it is trained.", "lists:list_transforms"),
    ("list-recipes", "List the recipes: how the papers train.", "recipes:list_recipes"),
    ("list-commands", "List the commands and the plugins that have them.", "lists:list_commands"),
    ("list-exporters", "List the formats that a student can be exported to.", "lists:list_exporters"),
    (
        "list-metrics",
        "List the metrics that evaluations compute in addition to accuracy.",
        "lists:list_metrics",
    ),
    ("list-report-sections", "List the sections of reports.", "lists:list_report_sections"),
    ("list-launchers", "List the ways to start runs.", "lists:list_launchers"),
    ("show", "Show what a name means: options, formula, paper.", "show:show"),
    ("plugins", "List the plugins, what each adds, and what is broken.", "plugins:plugins"),
    ("doctor", "Check this installation: versions, devices, plugins.", "doctor:doctor"),
    (
        "install",
        "Install plugins into the environment that kd lives in, and show what they add.",
        "install:install",
    ),
    ("uninstall", "Remove plugins from the environment that kd lives in.", "install:uninstall"),
)
"""Name, summary, and the place of the code."""
_RECIPES: Final = (
    (
        "cifar-224-cnn",
        "CIFAR-100 at 224 px, for CNN students: 300 epochs of SGD, cosine, whole batch 1024.",
    ),
    (
        "cifar-224-finetune",
        "Fine-tuning ImageNet weights at 224 px, for the teachers of cifar-224: 300 epochs of AdamW at 5e-5.",
    ),
    (
        "cifar-224-vit",
        "CIFAR-100 at 224 px, for ViT and MLP students: 300 epochs of AdamW, mixup, CutMix and RandAugment.",
    ),
    (
        "cifar-240-mobile",
        "cifar-240 at a learning rate of 0.01, which the tables give their small depthwise students.",
    ),
    (
        "cifar-240",
        "The CIFAR-100 tables: 240 epochs of SGD at 0.05 in three steps, whole batch 64.",
    ),
    (
        "imagenet-100",
        "The ImageNet tables: 100 epochs of SGD at 0.2 in three steps, whole batch 512.",
    ),
    (
        "imagenet-300-vit",
        "ImageNet for ViT and MLP students: 300 epochs of AdamW, DeiT's augmentation, EMA, whole batch 1024.",
    ),
    (
        "imagenet-450",
        "ImageNet for mobile students: 450 epochs of RMSprop, RandAugment, EMA and dropout, whole batch 768.",
    ),
    (
        "pretrain-100",
        "Pretraining without labels from a teacher: 100 epochs of AdamW, strong augmentation, mixup of the images.",
    ),
)
"""Name, which is that of the file, and summary."""


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """Training without a teacher, for comparison."""
    return [
        DistillerEntry(
            name="vanilla",
            kind="baseline",
            summary="No distillation: the student learns from the ground truth alone.",
            target="kdcore.distill.vanilla:Vanilla",
            options="kdcore.distill.vanilla_options:VanillaOptions",
            needs=("labels",),
            tasks=("classes", "labels"),
            formula="0 (only the task loss remains)",
        )
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """The adapter for models without an adapter of their own."""
    return [
        AdapterEntry(
            name="timm",
            summary="Every timm model that gives intermediate features; used if no other adapter fits.",
            target="kdcore.features.timm:TimmAdapter",
        )
    ]


@hookimpl
def kd_models() -> list[ModelEntry]:
    """Models that are not made from a name alone."""
    return [
        ModelEntry(
            name="student-with-heads",
            summary="The student of a run together with its distiller's head; the run's folder names it.",
            target="kdcore.distill.with_heads:with_heads",
        ),
        ModelEntry(
            name="transformed-student",
            summary="The student of a run after its transforms; the run's folder names it.",
            target="kdcore.models.transformed:transformed",
        ),
        ModelEntry(
            name="module",
            summary="A module object that a Python program gives to kdcore.run; a spec alone cannot make it.",
            target="kdcore.models.given:build",
            options="kdcore.spec.given_options:GivenOptions",
        ),
    ]


@hookimpl
def kd_datasets() -> list[DatasetEntry]:
    """A dataset that needs no network."""
    return [
        DatasetEntry(
            name="digits",
            summary="1797 hand-written digits of 8x8 pixels, from scikit-learn.",
            target="kdcore.data.digits:Digits",
            num_classes=10,
        )
    ]


@hookimpl
def kd_recipes() -> list[RecipeEntry]:
    """General ways to train, which belong to no single method."""
    return [RecipeEntry(name, summary, f"kdcore.spec.recipes:{name}.toml") for name, summary in _RECIPES]


@hookimpl
def kd_commands() -> list[CommandEntry]:
    """The commands, in the order of `kd --help`."""
    return [CommandEntry(name, summary, f"kdcore.cli.{target}") for name, summary, target in _COMMANDS]
