"""Entries of the methods whose authors train with them first, and with the task afterwards. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="ab",
        kind="feature",
        summary="Activate the student's neurons where the teacher's are active.",
        target="kd_feature.ab:AB",
        options="kd_feature.options.initial:ABOptions",
        needs=("teacher", "features", "layers", "whole-batch"),
        paper=Paper(
            title="Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons",
            year=2019,
            url="https://arxiv.org/abs/1811.03233",
        ),
        formula="sum over stages i of 2^(i - n) * 0.003 * sum max(0, margin - sign(t) head(s))^2 / B",
        settings="kd_feature:settings/ab.toml",
    ),
    DistillerEntry(
        name="ft",
        kind="feature",
        summary="Match factors: a compressed form of the teacher's map.",
        target="kd_feature.ft:FT",
        options="kd_feature.options.initial:FTOptions",
        needs=("teacher", "features", "whole-batch"),
        paper=Paper(
            title="Paraphrasing Complex Network: Network Compression via Factor Transfer",
            year=2018,
            url="https://arxiv.org/abs/1802.04977",
        ),
        formula="mean |attention(translator(s)) - attention(encoder(t))| + w * mean (decoder(encoder(t)) - t)^2",
        settings="kd_feature:settings/ft.toml",
    ),
    DistillerEntry(
        name="fsp",
        kind="feature",
        summary="Match how features go from one stage to the next.",
        target="kd_feature.fsp:FSP",
        options="kd_feature.options.initial:FSPOptions",
        needs=("teacher", "features"),
        paper=Paper(
            title="A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning",
            year=2017,
            url="https://openaccess.thecvf.com/content_cvpr_2017/html/Yim_A_Gift_From_CVPR_2017_paper.html",
        ),
        formula="sum over stages i of mean (s_i s_i+1^T - t_i t_i+1^T)^2, products over the places",
    ),
)
