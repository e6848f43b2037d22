"""Entries of the methods that compare softened class probabilities as a whole. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, Suits

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="kd",
        kind="logit",
        summary="Match the teacher's softened class probabilities.",
        target="kd_classic.kd:KD",
        options="kd_classic.options.softened:KDOptions",
        needs=("teacher", "logits"),
        paper=Paper(
            title="Distilling the Knowledge in a Neural Network",
            year=2015,
            url="https://arxiv.org/abs/1503.02531",
        ),
        task_weight=0.1,
        formula="T^2 * KL(softmax(t/T) || softmax(s/T))",
        suits=(Suits("any", "the plain method", rank=90),),
        settings="kd_classic:settings/kd.toml",
    ),
)
