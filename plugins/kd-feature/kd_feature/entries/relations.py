"""Entries of the methods that compare relations between samples, positions or tokens. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="sp",
        kind="relation",
        summary="Match the similarities between the feature maps of the samples in a batch.",
        target="kd_feature.sp:SP",
        options="kd_feature.options.relations:SPOptions",
        needs=("teacher", "features", "whole-batch"),
        paper=Paper(
            title="Similarity-Preserving Knowledge Distillation",
            year=2019,
            url="https://arxiv.org/abs/1907.09682",
        ),
        formula="mean (unit_rows(S S^T) - unit_rows(T T^T))^2",
    ),
    DistillerEntry(
        name="rkd",
        kind="relation",
        summary="Match the distances between two samples and the angles between three samples.",
        target="kd_feature.rkd:RKD",
        options="kd_feature.options.relations:RKDOptions",
        needs=("teacher", "embeddings", "whole-batch"),
        paper=Paper(
            title="Relational Knowledge Distillation", year=2019, url="https://arxiv.org/abs/1904.05068"
        ),
        formula="distance_weight * huber(d_s / mean d_s, d_t / mean d_t) + angle_weight * huber(cos_s, cos_t)",
    ),
    DistillerEntry(
        name="pkt",
        kind="relation",
        summary="Match the probabilities that samples are neighbours of each other.",
        target="kd_feature.pkt:PKT",
        options="kd_feature.options.relations:PKTOptions",
        needs=("teacher", "embeddings", "whole-batch"),
        paper=Paper(
            title="Learning Deep Representations with Probabilistic Knowledge Transfer",
            year=2018,
            url="https://arxiv.org/abs/1803.10837",
        ),
        formula="mean p_t * log(p_t / p_s), p_ij = (1 + cos_ij) / sum_k (1 + cos_ik)",
    ),
    DistillerEntry(
        name="cc",
        kind="relation",
        summary="Make differences from the teacher uncorrelated between neighbours in the batch.",
        target="kd_feature.cc:CC",
        options="kd_feature.options.relations:CCOptions",
        needs=("teacher", "embeddings", "whole-batch"),
        paper=Paper(
            title="Correlation Congruence for Knowledge Distillation",
            year=2019,
            url="https://arxiv.org/abs/1904.01802",
        ),
        formula="mean_i <|s_i - t_i|, |s_i+1 - t_i+1|>, s and t through linear heads",
    ),
)
