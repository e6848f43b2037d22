"""Entries of the methods that compare feature maps. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, Suits

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="fitnet",
        kind="feature",
        summary="Match the student's feature maps, after a trained regressor, to the teacher's.",
        target="kd_feature.fitnet:FitNet",
        options="kd_feature.options.maps:FitNetOptions",
        needs=("teacher", "features", "whole-batch"),
        paper=Paper(
            title="FitNets: Hints for Thin Deep Nets", year=2015, url="https://arxiv.org/abs/1412.6550"
        ),
        formula="mean (regressor(s) - t)^2",
        suits=(Suits("other kind", "matches feature maps, through a trained head", rank=30),),
        settings="kd_feature:settings/fitnet.toml",
    ),
    DistillerEntry(
        name="at",
        kind="feature",
        summary="Match the positions that the teacher attends to.",
        target="kd_feature.at:AT",
        options="kd_feature.options.maps:ATOptions",
        needs=("teacher", "features"),
        paper=Paper(
            title="Paying More Attention to Attention: Improving the Performance of Convolutional Neural "
            "Networks via Attention Transfer",
            year=2017,
            url="https://arxiv.org/abs/1612.03928",
        ),
        formula="mean (unit(mean_channels |s|^power) - unit(mean_channels |t|^power))^2",
        settings="kd_feature:settings/at.toml",
    ),
    DistillerEntry(
        name="nst",
        kind="feature",
        summary="Match the positions that channels select, by maximum mean discrepancy.",
        target="kd_feature.nst:NST",
        options="kd_feature.options.maps:NSTOptions",
        needs=("teacher", "features"),
        paper=Paper(
            title="Like What You Like: Knowledge Distill via Neuron Selectivity Transfer",
            year=2017,
            url="https://arxiv.org/abs/1707.01219",
        ),
        formula="mean <s_i, s_j>^2 + mean <t_i, t_j>^2 - 2 * mean <s_i, t_j>^2, over unit channels i, j",
        settings="kd_feature:settings/nst.toml",
    ),
    DistillerEntry(
        name="vid",
        kind="feature",
        summary="Maximise the information of the student's feature maps about the teacher's.",
        target="kd_feature.vid:VID",
        options="kd_feature.options.maps:VIDOptions",
        needs=("teacher", "features"),
        paper=Paper(
            title="Variational Information Distillation for Knowledge Transfer",
            year=2019,
            url="https://arxiv.org/abs/1904.05835",
        ),
        formula="mean ((regressor(s) - t)^2 / v + log v) / 2, v a trained variance per channel",
        settings="kd_feature:settings/vid.toml",
    ),
    DistillerEntry(
        name="cwd",
        kind="feature",
        summary="Match each channel's distribution over the places.",
        target="kd_feature.cwd:CWD",
        options="kd_feature.options.maps:CWDOptions",
        needs=("teacher", "features"),
        paper=Paper(
            title="Channel-wise Knowledge Distillation for Dense Prediction",
            year=2021,
            url="https://arxiv.org/abs/2011.13256",
        ),
        formula="T^2 * mean over channels of KL(softmax(t / T) || softmax(s / T)), softmax over the places",
    ),
    DistillerEntry(
        name="pkd",
        kind="feature",
        summary="Match each channel's values over the batch up to their mean and scale.",
        target="kd_feature.pkd:PKD",
        options="kd_feature.options.maps:PKDOptions",
        needs=("teacher", "features", "whole-batch"),
        paper=Paper(
            title="PKD: General Distillation Framework for Object Detectors via Pearson Correlation Coefficient",
            year=2022,
            url="https://arxiv.org/abs/2207.02039",
        ),
        formula="mean (standardised(s) - standardised(t))^2 / 2, per channel over the batch",
    ),
    DistillerEntry(
        name="ickd",
        kind="feature",
        summary="Match the correlations between the teacher's channels.",
        target="kd_feature.ickd:ICKD",
        options="kd_feature.options.maps:ICKDOptions",
        needs=("teacher", "features", "whole-batch"),
        paper=Paper(
            title="Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation",
            year=2021,
            url="https://arxiv.org/abs/2202.03680",
        ),
        formula="sum (unit_rows(head(s) head(s)^T) - unit_rows(t t^T))^2 / (B C), channels by channels",
        settings="kd_feature:settings/ickd.toml",
    ),
)
