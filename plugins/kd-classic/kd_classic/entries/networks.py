"""Entries of the methods with several networks: peers that learn together, several teachers. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper

ENTRIES: tuple[DistillerEntry, ...] = (
    DistillerEntry(
        name="dml",
        kind="mutual",
        summary="Student and peers learn together, each from the labels and from the others' predictions.",
        target="kd_classic.dml:DML",
        options="kd_classic.options.networks:DMLOptions",
        needs=("teacher", "learning-teacher", "logits"),
        paper=Paper(title="Deep Mutual Learning", year=2018, url="https://arxiv.org/abs/1706.00384"),
        formula="KL(softmax(t) || softmax(s)) for the student, KL(softmax(s) || softmax(t)) for the teacher",
    ),
    DistillerEntry(
        name="average",
        kind="logit",
        summary="The mean of KD over several teachers.",
        target="kd_classic.average:Average",
        options="kd_classic.options.networks:AverageOptions",
        needs=("teacher", "several-teachers", "logits"),
        paper=Paper(
            title="Learning from Multiple Teacher Networks",
            year=2017,
            url="https://doi.org/10.1145/3097983.3098135",
        ),
        formula="mean over teachers of T^2 * KL(softmax(t/T) || softmax(s/T))",
    ),
    DistillerEntry(
        name="ebkd",
        kind="logit",
        summary="KD from several teachers; the surer one is of a sample, the more it counts.",
        target="kd_classic.ebkd:EBKD",
        options="kd_classic.options.networks:EBKDOptions",
        needs=("teacher", "several-teachers", "logits"),
        paper=Paper(
            title="Adaptive Knowledge Distillation Based on Entropy",
            year=2020,
            url="https://doi.org/10.1109/ICASSP40776.2020.9054698",
        ),
        formula="mean over teachers of (1 - H(t) / sum of H) * T^2 * KL(softmax(t/T) || softmax(s/T)), H: entropy",
    ),
    DistillerEntry(
        name="camkd",
        kind="logit",
        summary="KD from several teachers; the better one predicts the label of a sample, the more it counts.",
        target="kd_classic.camkd:CAMKD",
        options="kd_classic.options.networks:CAMKDOptions",
        needs=("teacher", "several-teachers", "logits", "labels"),
        paper=Paper(
            title="Confidence-Aware Multi-Teacher Knowledge Distillation",
            year=2022,
            url="https://arxiv.org/abs/2201.00007",
        ),
        formula="mean over teachers of w * T^2 * KL(softmax(t/T) || softmax(s/T)), "
        "w = (1 - softmax over teachers of CE(t, y)) / (M - 1)",
    ),
)
