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
    DistillerEntry(
        name="srd",
        kind="relation",
        summary="Match standardised embeddings after a linear projection, with emphasis on large differences.",
        target="kd_feature.srd:SRD",
        options="kd_feature.options.relations:SRDOptions",
        paper=Paper(
            title="Understanding the Role of the Projector in Knowledge Distillation",
            year=2024,
            url="https://arxiv.org/abs/2303.11098",
        ),
        needs=("teacher", "embeddings", "whole-batch"),
        formula="log sum |z_s - z_t|^exponent, or log (eps + sum_channels |1 - mean z_s z_t|^exponent); z standardised "
        "over the batch",
        settings="kd_feature:settings/srd.toml",
    ),
    DistillerEntry(
        name="itrd",
        kind="relation",
        summary="Match the correlations of channels and the similarities of samples, by information theory.",
        target="kd_feature.itrd:ITRD",
        options="kd_feature.options.relations:ITRDOptions",
        paper=Paper(
            title="Information Theoretic Representation Distillation",
            year=2022,
            url="https://arxiv.org/abs/2112.00459",
        ),
        needs=("teacher", "embeddings", "whole-batch"),
        formula="correlation_weight * log2 sum_channels |c - 1|^(2 alpha) + mutual_weight * (|G_s|^2 - |G_st|^2), G_s "
        "and G_st divided by their traces",
        settings="kd_feature:settings/itrd.toml",
    ),
    DistillerEntry(
        name="manifold",
        kind="relation",
        summary="Match the similarities of tokens within images, between images, and of random tokens.",
        target="kd_feature.manifold:Manifold",
        options="kd_feature.options.relations:ManifoldOptions",
        paper=Paper(
            title="Learning Efficient Vision Transformers via Fine-Grained Manifold Distillation",
            year=2022,
            url="https://arxiv.org/abs/2107.01378",
        ),
        needs=("teacher", "features", "whole-batch"),
        formula="mean (<s_i, s_j> - <t_i, t_j>)^2 over pairs of unit tokens: of an image, of a place, of random ones",
        settings="kd_feature:settings/manifold.toml",
    ),
    DistillerEntry(
        name="token-relation",
        kind="relation",
        summary="Match the similarities of an image's tokens, and those of the image to a queue of other images.",
        target="kd_feature.token_relation:TokenRelation",
        options="kd_feature.options.relations:TokenRelationOptions",
        paper=Paper(
            title="Knowledge distillation: A good teacher is patient and consistent",
            year=2022,
            url="https://arxiv.org/abs/2106.05237",
        ),
        needs=("teacher", "features", "embeddings"),
        formula="KL(softmax(t t^T / T) || softmax(s s^T / T)) of unit tokens of an image, plus that of queue-relation",
    ),
)
