"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, RecipeEntry, Suits, hookimpl

PLUGIN_API = 1

_OFA = Paper(
    title="One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation",
    year=2023,
    url="https://arxiv.org/abs/2310.19444",
)


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """OFA-KD, with a task loss of weight 1 as in its authors' code."""
    return [
        DistillerEntry(
            name="ofa",
            kind="heterogeneous",
            summary="Branches at the student's stages predict classes and learn from the teacher's logits.",
            target="kd_ofa.ofa:OFA",
            options="kd_ofa.options:OFAOptions",
            needs=("teacher", "logits", "labels", "every-label", "features"),
            paper=_OFA,
            formula="-sum_i ((pt_i + [i=y])^eps - [i=y]) * log ps_i, p = softmax(logits/T), "
            "for the student's logits and those of each branch",
            suits=(Suits("other kind", "made for a teacher of another family", rank=10),),
            recipes=("imagenet-100-ofa",),
            settings="kd_ofa:settings/ofa.toml",
        ),
    ]


@hookimpl
def kd_recipes() -> list[RecipeEntry]:
    """The training settings of its paper that no other method uses."""
    return [
        RecipeEntry(
            name="imagenet-100-ofa",
            summary="OFA's ImageNet for CNN students: 100 epochs of SGD at 0.1, a tenth every 30, whole batch 512.",
            path="kd_ofa:recipes/imagenet-100-ofa.toml",
            paper=_OFA,
        )
    ]
