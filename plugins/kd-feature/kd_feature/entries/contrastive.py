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
    DistillerEntry(
        name="rrd",
        kind="contrastive",
        summary="Match a sample's similarities to a queue of teacher embeddings.",
        target="kd_feature.rrd:RRD",
        options="kd_feature.options.contrastive:RRDOptions",
        paper=Paper(
            title="Relational Representation Distillation",
            year=2024,
            url="https://arxiv.org/abs/2407.12073",
        ),
        needs=("teacher", "embeddings", "whole-batch"),
        formula="-mean sum_k p_t log p_s, p = softmax(<unit embedding, queue> / T), T_t below T_s",
    ),
    DistillerEntry(
        name="dcd",
        kind="contrastive",
        summary="Recognise the teacher's embedding of the same sample in the batch, consistently in both directions.",
        target="kd_feature.dcd:DCD",
        options="kd_feature.options.contrastive:DCDOptions",
        paper=Paper(
            title="Discriminative and Consistent Representation Distillation",
            year=2024,
            url="https://arxiv.org/abs/2407.11802",
        ),
        needs=("teacher", "embeddings", "whole-batch"),
        formula="-mean log softmax(z)_ii + alpha * KL(softmax(z^T) || softmax(z)), z = scale * cosines + bias",
    ),
    DistillerEntry(
        name="seed",
        kind="contrastive",
        summary="Match a sample's similarities to its own teacher embedding and to a queue of others.",
        target="kd_feature.seed:SEED",
        options="kd_feature.options.contrastive:SEEDOptions",
        paper=Paper(
            title="SEED: Self-supervised Distillation For Visual Representation",
            year=2021,
            url="https://arxiv.org/abs/2101.04731",
        ),
        needs=("teacher", "embeddings", "whole-batch"),
        formula="-mean sum_k p_t log p_s, p_s = softmax([<s, t>, <s, queue>] / T_s), "
        "p_t = softmax([1, <t, queue>] / T_t)",
    ),
    DistillerEntry(
        name="compress",
        kind="contrastive",
        summary="Match a sample's similarities to earlier samples, each model in its own queue.",
        target="kd_feature.compress:CompRess",
        options="kd_feature.options.contrastive:CompRessOptions",
        paper=Paper(
            title="CompRess: Self-Supervised Learning by Compressing Representations",
            year=2020,
            url="https://arxiv.org/abs/2010.14713",
        ),
        needs=("teacher", "embeddings", "whole-batch"),
        formula="KL(softmax(<t, queue_t> / T) || softmax(<s, queue_s> / T))",
    ),
    DistillerEntry(
        name="queue-relation",
        kind="contrastive",
        summary="Match an image's similarities to a queue of the teacher's embeddings, without labels.",
        target="kd_feature.queue_relation:QueueRelation",
        options="kd_feature.options.contrastive:QueueRelationOptions",
        paper=Paper(
            title="Knowledge distillation: A good teacher is patient and consistent",
            year=2022,
            url="https://arxiv.org/abs/2106.05237",
        ),
        needs=("teacher", "embeddings", "whole-batch"),
        formula="KL(softmax(<t, queue> / T) || softmax(<s, queue> / T)) of unit embeddings",
    ),
)
