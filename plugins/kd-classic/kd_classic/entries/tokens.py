"""Entries of the methods with a distillation token. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

_DEIT = Paper(
    title="Training data-efficient image transformers & distillation through attention",
    year=2021,
    url="https://arxiv.org/abs/2012.12877",
)

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="deit-hard",
        kind="logit",
        summary="The student's distillation token learns the teacher's most probable class.",
        target="kd_classic.deit:DeiTHard",
        options="kd_classic.options.tokens:DeiTHardOptions",
        needs=("teacher", "logits", "distilled-student"),
        paper=_DEIT,
        task_weight=0.5,
        formula="CE(d, argmax t), d: the logits of the distillation token",
    ),
    DistillerEntry(
        name="deit-soft",
        kind="logit",
        summary="The student's distillation token learns the teacher's softened class probabilities.",
        target="kd_classic.deit:DeiTSoft",
        options="kd_classic.options.tokens:DeiTSoftOptions",
        needs=("teacher", "logits", "distilled-student"),
        paper=_DEIT,
        task_weight=0.5,
        formula="T^2 * KL(softmax(t/T) || softmax(d/T)) / K, d: the logits of the distillation token",
        settings="kd_classic:settings/deit-soft.toml",
    ),
)
