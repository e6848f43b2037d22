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
    DistillerEntry(
        name="rld",
        kind="logit",
        summary="DKD with the teacher's top score, and without the classes that it ranks above the target.",
        target="kd_classic.rld:RLD",
        options="kd_classic.options.decoupled:RLDOptions",
        needs=("teacher", "logits", "labels"),
        paper=Paper(
            title="Knowledge Distillation with Refined Logits",
            year=2025,
            url="https://arxiv.org/abs/2408.07703",
        ),
        formula="T^2 * (alpha * KL([pt_top, 1-pt_top] || [ps_y, 1-ps_y]) + beta * KL(pt_below || ps_below)), "
        "p = softmax(logits/T)",
        settings="kd_classic:settings/rld.toml",
    ),
    DistillerEntry(
        name="wsld",
        kind="logit",
        summary="Soft labels with less weight on samples that the student already knows.",
        target="kd_classic.wsld:WSLD",
        options="kd_classic.options.decoupled:WSLDOptions",
        needs=("teacher", "logits", "labels"),
        paper=Paper(
            title="Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance Tradeoff Perspective",
            year=2021,
            url="https://arxiv.org/abs/2102.00650",
        ),
        formula="-T^2 * (1 - exp(-CE(s, y) / CE(t, y))) * sum(softmax(t/T) * log softmax(s/T))",
        settings="kd_classic:settings/wsld.toml",
    ),
    DistillerEntry(
        name="ldrld",
        kind="logit",
        summary="Compare the student's top classes in pairs, and the remaining classes.",
        target="kd_classic.ldrld:LDRLD",
        options="kd_classic.options.decoupled:LDRLDOptions",
        needs=("teacher", "logits"),
        paper=Paper(
            title="Local Dense Logit Relations for Enhanced Knowledge Distillation",
            year=2025,
            url="https://arxiv.org/abs/2507.15911",
        ),
        formula="T^2 * (alpha * mean(w_ij * KL over {i, j}, KL over top k) + beta * KL over the others)",
    ),
    DistillerEntry(
        name="wkd",
        kind="logit",
        summary="Wasserstein distance of the other classes: similar classes are cheap to confuse.",
        target="kd_classic.wkd:WKD",
        options="kd_classic.options.decoupled:WKDOptions",
        needs=("teacher", "logits", "labels", "classifier"),
        paper=Paper(
            title="Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation",
            year=2024,
            url="https://arxiv.org/abs/2412.08139",
        ),
        formula="-pt_y * log ps_y + gamma * W(softmax(s_other/T), softmax(t_other/T)), p = softmax(logits)",
        settings="kd_classic:settings/wkd.toml",
    ),
)
