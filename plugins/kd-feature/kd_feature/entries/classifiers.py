"""Entries of the methods that use the classifiers of teacher or student. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="srrl",
        kind="feature",
        summary="Match the teacher's pooled features, and its logits from the student's features.",
        target="kd_feature.srrl:SRRL",
        options="kd_feature.options.classifiers:SRRLOptions",
        needs=("teacher", "logits", "features", "embeddings", "classifier", "whole-batch", "layers"),
        paper=Paper(
            title="Knowledge Distillation via Softmax Regression Representation Learning",
            year=2021,
            url="https://openreview.net/forum?id=ZzwDy_wiWv",
        ),
        formula="mean (pool(head(s)) - pool(t))^2 + beta * mean (teacher_classifier(pool(head(s))) - t_logits)^2",
        settings="kd_feature:settings/srrl.toml",
    ),
    DistillerEntry(
        name="catkd",
        kind="feature",
        summary="Match the class activation maps: where each class is seen.",
        target="kd_feature.catkd:CATKD",
        options="kd_feature.options.classifiers:CATKDOptions",
        needs=("teacher", "features", "classifier", "layers"),
        paper=Paper(
            title="Class Attention Transfer Based Knowledge Distillation",
            year=2023,
            url="https://arxiv.org/abs/2304.12777",
        ),
        formula="mean (pool(W_s s) - pool(W_t t))^2, W the weights of the classifiers",
        settings="kd_feature:settings/catkd.toml",
    ),
    DistillerEntry(
        name="simkd",
        kind="feature",
        summary="Give the student the teacher's classifier, behind a trained projector.",
        target="kd_feature.simkd:SimKD",
        options="kd_feature.options.classifiers:SimKDOptions",
        needs=("teacher", "features", "layers", "whole-batch"),
        paper=Paper(
            title="Knowledge Distillation with the Reused Teacher Classifier",
            year=2022,
            url="https://arxiv.org/abs/2203.14001",
        ),
        task_weight=0.0,
        formula="mean (projector(s) - t)^2",
    ),
    DistillerEntry(
        name="camkd-feature",
        kind="feature",
        summary="Match the last maps of several teachers; the better a teacher's classifier reads the student's map, "
        "the more it counts.",
        target="kd_feature.camkd:CAMKDFeature",
        options="kd_feature.options.classifiers:CAMKDFeatureOptions",
        needs=("teacher", "several-teachers", "labels", "every-label", "features"),
        paper=Paper(
            title="Confidence-Aware Multi-Teacher Knowledge Distillation",
            year=2022,
            url="https://arxiv.org/abs/2201.00007",
        ),
        formula="mean over teachers of w * mean (translator(s) - t)^2, "
        "w = (1 - softmax over teachers of CE(t_classifier(translator(s)), y)) / (M - 1)",
    ),
    DistillerEntry(
        name="norm",
        kind="feature",
        summary="Match several copies of the teacher's map, in layers that stay in the student.",
        target="kd_feature.norm:NORM",
        options="kd_feature.options.classifiers:NORMOptions",
        needs=("teacher", "labels", "every-label", "features", "classifier", "whole-batch", "layers"),
        paper=Paper(
            title="NORM: Knowledge Distillation via N-to-One Representation Matching",
            year=2023,
            url="https://arxiv.org/abs/2305.13803",
        ),
        task_weight=0.0,
        formula="N * mean (expand(s) - N copies of t)^2 + w * cross-entropy(z, y) + v * T^2 * KL(z of t, z of s), "
        "z = scale * layer_norm(logits)",
    ),
)
