"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerEntry, Paper, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """ReviewKD."""
    return [
        DistillerEntry(
            name="reviewkd",
            kind="feature",
            summary="Match the teacher's maps by the student's map of that stage and all deeper ones together.",
            target="kd_reviewkd.reviewkd:ReviewKD",
            options="kd_reviewkd.options:ReviewKDOptions",
            paper=Paper(
                title="Distilling Knowledge via Knowledge Review",
                year=2021,
                url="https://arxiv.org/abs/2104.09044",
            ),
            formula="sum over stages i of hcl(u_i, t_i), u_i = fusion(s_i, fusion(s_i+1, ...))",
        )
    ]
