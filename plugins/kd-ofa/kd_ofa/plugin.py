"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """OFA-KD, with a task loss of weight 1 as in its authors' code."""
    return [
        DistillerEntry(
            name="ofa",
            kind="heterogeneous",
            summary="Branches at the student's stages predict classes and learn from the teacher's logits.",
            target="kd_ofa.ofa:OFA",
            options="kd_ofa.options:OFAOptions",
            paper=Paper(
                title="One-for-All: Bridge the Gap Between Heterogeneous Architectures "
                "in Knowledge Distillation",
                year=2023,
                url="https://arxiv.org/abs/2310.19444",
            ),
            formula="-sum_i ((pt_i + [i=y])^eps - [i=y]) * log ps_i, p = softmax(logits/T), "
            "for the student's logits and those of each branch",
        ),
    ]
