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
    DistillerEntry(
        name="ctkd",
        kind="logit",
        summary="KD with a temperature that is learned against the student, so that the task becomes harder.",
        target="kd_classic.ctkd:CTKD",
        options="kd_classic.options.softened:CTKDOptions",
        needs=("teacher", "logits"),
        paper=Paper(
            title="Curriculum Temperature for Knowledge Distillation",
            year=2023,
            url="https://arxiv.org/abs/2211.16231",
        ),
        task_weight=0.1,
        formula="T^2 * KL(softmax(t/T) || softmax(s/T)), T = minimum + span * sigmoid(raw), "
        "with the gradient of raw reversed",
    ),
    DistillerEntry(
        name="dhkd",
        kind="logit",
        summary="A second head of the student learns from the teacher, class by class; it is not shipped.",
        target="kd_classic.dhkd:DHKD",
        options="kd_classic.options.softened:DHKDOptions",
        needs=("teacher", "logits", "embeddings"),
        paper=Paper(
            title="Dual-Head Knowledge Distillation: Enhancing Logits Utilization with an Auxiliary Head",
            year=2024,
            url="https://arxiv.org/abs/2411.08937",
        ),
        formula="T^2 * sum(-ln 2 - ln(d)/2 - ln(1-d)/2), d = sigmoid((h - t)/T), h: the second head's logits",
        settings="kd_classic:settings/dhkd.toml",
    ),
)
