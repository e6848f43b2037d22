"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kd_feature.adapters.declared import ADAPTERS
from kdcore import AdapterEntry, DistillerEntry, Paper, Suits, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """The hint-based methods of RepDistiller that need no separate training stage."""
    return [
        DistillerEntry(
            name="fitnet",
            kind="feature",
            summary="Match the student's feature maps, after a trained regressor, to the teacher's.",
            target="kd_feature.fitnet:FitNet",
            options="kd_feature.options:FitNetOptions",
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
            options="kd_feature.options:ATOptions",
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
            options="kd_feature.options:NSTOptions",
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
            options="kd_feature.options:VIDOptions",
            paper=Paper(
                title="Variational Information Distillation for Knowledge Transfer",
                year=2019,
                url="https://arxiv.org/abs/1904.05835",
            ),
            formula="mean ((regressor(s) - t)^2 / v + log v) / 2, v a trained variance per channel",
            settings="kd_feature:settings/vid.toml",
        ),
        DistillerEntry(
            name="sp",
            kind="relation",
            summary="Match the similarities between the feature maps of the samples in a batch.",
            target="kd_feature.sp:SP",
            options="kd_feature.options:SPOptions",
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
            options="kd_feature.options:RKDOptions",
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
            options="kd_feature.options:PKTOptions",
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
            options="kd_feature.options:CCOptions",
            paper=Paper(
                title="Correlation Congruence for Knowledge Distillation",
                year=2019,
                url="https://arxiv.org/abs/1904.01802",
            ),
            formula="mean_i <|s_i - t_i|, |s_i+1 - t_i+1|>, s and t through linear heads",
        ),
        DistillerEntry(
            name="crd",
            kind="contrastive",
            summary="Distinguish a sample's teacher embedding from those of other classes, by a memory of all samples.",
            target="kd_feature.crd:CRD",
            options="kd_feature.options:CRDOptions",
            paper=Paper(
                title="Contrastive Representation Distillation",
                year=2020,
                url="https://arxiv.org/abs/1910.10699",
            ),
            formula="-log(p / (p + M/N)) - sum_negatives log((M/N) / (p + M/N)), p = exp(<s, t> / T) / Z; "
            "both directions",
            suits=(
                Suits("same family", "contrasts embeddings; slower", rank=30),
                Suits("other family", "contrasts embeddings; slower", rank=30),
            ),
            settings="kd_feature:settings/crd.toml",
        ),
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """The feature adapters per architecture."""
    return list(ADAPTERS)
