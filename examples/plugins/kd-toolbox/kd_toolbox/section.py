"""`confusions`: the pairs of classes that the student confuses most often."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import torch
from kdcore import ReportSection
from kdcore.inspect import has_label

if TYPE_CHECKING:
    from kdcore import OpenedRun

_MOST = 5


def confusions(run: OpenedRun) -> ReportSection | None:
    """A table of the most frequent mistakes; None if there are no labels or no mistakes."""
    student, _ = run.predictions
    first = student.logits.argmax(dim=1)
    wrong = has_label(student.target) & (first != student.target)
    if not wrong.any():
        return None
    pairs = torch.stack([student.target[wrong], first[wrong]], dim=1)
    found, counts = torch.unique(pairs, dim=0, return_counts=True)
    names = run.student.classes or tuple(str(number) for number in range(run.student.num_classes))
    rows = "".join(
        f"<tr><td>{escape(names[found[at, 0]])}</td><td>{escape(names[found[at, 1]])}</td><td>{counts[at]}</td></tr>"
        for at in counts.argsort(descending=True, stable=True)[:_MOST].tolist()
    )
    return ReportSection(
        id="toolbox-confusions",
        title="What the student confuses",
        text=f"{int(wrong.sum()):,} of {len(first):,} images get a wrong class. The most frequent pairs:",
        figures=(f"<table><tr><th>class</th><th>predicted</th><th>images</th></tr>{rows}</table>",),
    )
