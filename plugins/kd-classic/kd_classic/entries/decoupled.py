"""Entries of the methods that treat the target class apart from the others. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, Suits

NKD_PAPER = Paper(
    title="From Knowledge Distillation to Self-Knowledge Distillation: "
    "A Unified Approach with Normalized Loss and Customized Soft Labels",
    year=2023,
    url="https://arxiv.org/abs/2303.13005",
)

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="dkd",
        kind="logit",
        summary="KD with separate weights for the target class and the other classes.",
        target="kd_classic.dkd:DKD",
        options="kd_classic.options.decoupled:DKDOptions",
        needs=("teacher", "logits", "labels"),
        paper=Paper(
            title="Decoupled Knowledge Distillation",
            year=2022,
            url="https://arxiv.org/abs/2203.08679",
        ),
        formula="T^2 * (alpha * KL([pt_y, 1-pt_y] || [ps_y, 1-ps_y]) + beta * KL(pt_other || ps_other)), "
        "p = softmax(logits/T)",
        suits=(
            Suits("same family", "strong for pairs of one family", rank=10),
            Suits("other family", "strong for pairs of one family", rank=20),
        ),
        settings="kd_classic:settings/dkd.toml",
    ),
    DistillerEntry(
        name="nkd",
        kind="logit",
        summary="Cross-entropy weighted by the teacher's target score, plus normalised other classes.",
        target="kd_classic.nkd:NKD",
        options="kd_classic.options.decoupled:NKDOptions",
        needs=("teacher", "logits", "labels"),
        paper=NKD_PAPER,
        formula="-pt_y * log ps_y - gamma * T^2 * sum(softmax(t_other/T) * log softmax(s_other/T)), "
        "p = softmax(logits)",
        settings="kd_classic:settings/nkd.toml",
    ),
    DistillerEntry(
        name="sdd",
        kind="logit",
        summary="KD or DKD for regions of the image, with more weight where the teacher changes its mind.",
        target="kd_classic.sdd:SDD",
        options="kd_classic.options.decoupled:SDDOptions",
        needs=("teacher", "labels", "features", "classifier", "layers"),
        paper=Paper(
            title="Scale Decoupled Distillation",
            year=2024,
            url="https://arxiv.org/abs/2403.13512",
        ),
        task_weight=0.1,
        formula="mean over regions of w * T^2 * KL(softmax(t/T) || softmax(s/T)), w = 2 where the teacher is right "
        "about a region and wrong about the image, or the reverse, otherwise 1",
    ),
)
