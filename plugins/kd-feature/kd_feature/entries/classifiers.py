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
)
