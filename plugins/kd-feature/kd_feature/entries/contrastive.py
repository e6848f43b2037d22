"""Entries of the methods that contrast a sample with others. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, Suits

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="crd",
        kind="contrastive",
        summary="Distinguish a sample's teacher embedding from those of other classes, by a memory of all samples.",
        target="kd_feature.crd:CRD",
        options="kd_feature.options.contrastive:CRDOptions",
        needs=("teacher", "embeddings", "sample-index", "whole-batch"),
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
)
