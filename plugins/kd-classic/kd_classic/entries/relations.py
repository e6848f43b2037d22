"""Entries of the methods that compare relations between classes and between samples. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, Suits

DIST_PAPER = Paper(
    title="Knowledge Distillation from A Stronger Teacher",
    year=2022,
    url="https://arxiv.org/abs/2205.10536",
)

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="dist",
        kind="logit",
        summary="Correlate with the teacher's probabilities, within each sample and within each class.",
        target="kd_classic.dist:DIST",
        options="kd_classic.options.relations:DISTOptions",
        needs=("teacher", "logits", "whole-batch"),
        paper=DIST_PAPER,
        formula="T^2 * (beta * (1 - mean_rows corr(ps, pt)) + gamma * (1 - mean_columns corr(ps, pt))), "
        "p = softmax(logits/T)",
        suits=(
            Suits("same family", "for a teacher that is much stronger", rank=20),
            Suits("other family", "for teachers that are much stronger or of another kind", rank=10),
            Suits("other kind", "matches relations of the logits, whatever the family", rank=20),
        ),
        settings="kd_classic:settings/dist.toml",
    ),
    DistillerEntry(
        name="skd",
        kind="logit",
        summary="KD, and the directions of the samples' logits relative to each other.",
        target="kd_classic.skd:SKD",
        options="kd_classic.options.relations:SKDOptions",
        needs=("teacher", "logits", "whole-batch"),
        paper=Paper(
            title="Streamlined Knowledge Distillation",
            year=2026,
            url="https://github.com/HyunJunSik/StreamLined",
        ),
        task_weight=0.1,
        formula="T^2 * KL(softmax(t/T) || softmax(s/T)) / 2 + mean_rows sqrt(d (cov(D) + lambda I)^-1 d) / 2, "
        "D = (cos(s, s') - cos(t, t')) / K",
    ),
    DistillerEntry(
        name="mlkd",
        kind="logit",
        summary="Match predictions of each sample, between samples and between classes, over two views.",
        target="kd_classic.mlkd:MLKD",
        options="kd_classic.options.relations:MLKDOptions",
        needs=("teacher", "logits", "views", "whole-batch"),
        paper=Paper(
            title="Multi-Level Logit Distillation",
            year=2023,
            url="https://openaccess.thecvf.com/content/CVPR2023/html/"
            "Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html",
        ),
        task_weight=0.2,
        formula="sum over T of KD + |Pt Pt' - Ps Ps'|^2 / B + |Pt' Pt - Ps' Ps|^2 / K, P = softmax(logits/T)",
        settings="kd_classic:settings/mlkd.toml",
    ),
    DistillerEntry(
        name="crld",
        kind="logit",
        summary="KD within and across a weak and a strong view, for samples of which the teacher is sure.",
        target="kd_classic.crld:CRLD",
        options="kd_classic.options.relations:CRLDOptions",
        needs=("teacher", "logits", "views"),
        paper=Paper(
            title="Cross-View Consistency Regularisation for Knowledge Distillation",
            year=2024,
            url="https://arxiv.org/abs/2412.16493",
        ),
        task_weight=2.0,
        formula="within * [t sure] * (KD(s, t) + KD(s', t')) + cross * [t' sure] * (KD(s', t) + KD(s, t')), "
        "': the strong view",
    ),
)
