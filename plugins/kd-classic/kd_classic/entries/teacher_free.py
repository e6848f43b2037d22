"""Entries of the methods without a teacher. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="cskd",
        kind="self",
        summary="The prediction for an image follows the student's own for another image of its class.",
        target="kd_classic.cskd:CSKD",
        options="kd_classic.options.teacher_free:CSKDOptions",
        needs=("logits", "partners"),
        paper=Paper(
            title="Regularizing Class-wise Predictions via Self-knowledge Distillation",
            year=2020,
            url="https://arxiv.org/abs/2003.13964",
        ),
        formula="T^2 * KL(softmax(s'/T) || softmax(s/T)), s': the student's logits for another image of the class",
    ),
    DistillerEntry(
        name="pskd",
        kind="self",
        summary="Mix the labels with the student's own predictions of one epoch before.",
        target="kd_classic.pskd:PSKD",
        options="kd_classic.options.teacher_free:PSKDOptions",
        needs=("logits", "labels", "every-label", "sample-index"),
        paper=Paper(
            title="Self-Knowledge Distillation with Progressive Refinement of Targets",
            year=2021,
            url="https://arxiv.org/abs/2006.12000",
        ),
        formula="a * (CE(s, p) - CE(s, y)), a = alpha * (epoch + 1) / epochs, p: the sample's softmax an epoch before",
    ),
    DistillerEntry(
        name="uskd",
        kind="self",
        summary="Soft labels from the student's confidence, and from ranks of its classes.",
        target="kd_classic.uskd:USKD",
        options="kd_classic.options.teacher_free:USKDOptions",
        needs=("logits", "labels", "every-label", "features"),
        paper=Paper(
            title="From Knowledge Distillation to Self-Knowledge Distillation: "
            "A Unified Approach with Normalized Loss and Customized Soft Labels",
            year=2023,
            url="https://arxiv.org/abs/2303.13005",
        ),
        formula="-alpha * (p_y^2 + 1 - mean p_y^2) * log p_y + beta * CE(1/rank, softmax(s_other)) + mu * CE(weak, y)",
        settings="kd_classic:settings/uskd.toml",
    ),
    DistillerEntry(
        name="tfkd",
        kind="self",
        summary="A virtual teacher that knows only the target class; no model as teacher.",
        target="kd_classic.tfkd:TfKD",
        options="kd_classic.options.teacher_free:TfKDOptions",
        needs=("logits", "labels"),
        paper=Paper(
            title="Revisiting Knowledge Distillation via Label Smoothing Regularization",
            year=2020,
            url="https://arxiv.org/abs/1909.11723",
        ),
        task_weight=0.9,
        formula="KL(softmax(u/T) || softmax(s)) / K, u = c for y and (1 - c) / (K - 1) for the others",
    ),
)
