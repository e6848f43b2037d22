"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """The four logit methods, each with the weight of the task loss in its authors' recipe."""
    return [
        DistillerEntry(
            name="kd",
            kind="logit",
            summary="Match the teacher's softened class probabilities.",
            target="kd_classic.kd:KD",
            options="kd_classic.options:KDOptions",
            paper=Paper(
                title="Distilling the Knowledge in a Neural Network",
                year=2015,
                url="https://arxiv.org/abs/1503.02531",
            ),
            task_weight=0.1,
            formula="T^2 * KL(softmax(t/T) || softmax(s/T))",
        ),
        DistillerEntry(
            name="dkd",
            kind="logit",
            summary="KD with separate weights for the target class and the other classes.",
            target="kd_classic.dkd:DKD",
            options="kd_classic.options:DKDOptions",
            paper=Paper(
                title="Decoupled Knowledge Distillation",
                year=2022,
                url="https://arxiv.org/abs/2203.08679",
            ),
            formula="T^2 * (alpha * KL([pt_y, 1-pt_y] || [ps_y, 1-ps_y]) + beta * KL(pt_other || ps_other)), "
            "p = softmax(logits/T)",
        ),
        DistillerEntry(
            name="nkd",
            kind="logit",
            summary="Cross-entropy weighted by the teacher's target score, plus normalised other classes.",
            target="kd_classic.nkd:NKD",
            options="kd_classic.options:NKDOptions",
            paper=Paper(
                title="From Knowledge Distillation to Self-Knowledge Distillation: "
                "A Unified Approach with Normalized Loss and Customized Soft Labels",
                year=2023,
                url="https://arxiv.org/abs/2303.13005",
            ),
            formula="-pt_y * log ps_y - gamma * T^2 * sum(softmax(t_other/T) * log softmax(s_other/T)), "
            "p = softmax(logits)",
        ),
        DistillerEntry(
            name="dist",
            kind="logit",
            summary="Correlate with the teacher's probabilities, within each sample and within each class.",
            target="kd_classic.dist:DIST",
            options="kd_classic.options:DISTOptions",
            paper=Paper(
                title="Knowledge Distillation from A Stronger Teacher",
                year=2022,
                url="https://arxiv.org/abs/2205.10536",
            ),
            formula="T^2 * (beta * (1 - mean_rows corr(ps, pt)) + gamma * (1 - mean_columns corr(ps, pt))), "
            "p = softmax(logits/T)",
        ),
    ]
