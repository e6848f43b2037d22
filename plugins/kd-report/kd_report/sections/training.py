"""The section on the training: accuracy, losses and learning rate by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts import Curve, figure, line_chart, numbers
from kd_report.reports.facts import Facts
from kdcore import ReportSection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from kdcore import OpenedRun


_TITLES: Final = {
    "top1": "Top-1 on the evaluation images",
    "map": "mAP on the evaluation images",
    "micro_f1": "Micro F1 on the evaluation images",
    "knn_top1": "k-NN top-1 on the evaluation images",
    "agreement": "Agreement with the teacher",
    "neighbour_agreement": "Neighbours shared with the teacher",
}
"""What the student may be measured by, the first that was, and the title of its curve."""


def training(run: OpenedRun) -> ReportSection | None:
    """Curves over epochs: accuracy, losses, learning rate."""
    return training_section(Facts.read(run.directory))


def training_section(facts: Facts) -> ReportSection | None:
    """The section, from the files of a run; None if it has not completed an epoch."""
    records = facts.records
    if not records:
        return None
    figures = [*_accuracy(facts), *_losses(facts)]
    rates = [(record["epoch"], record.get("lr")) for record in records]
    figures.append(
        figure(
            "Learning rate",
            line_chart(
                [Curve("lr", rates, "s5")], label="learning rate by epoch", x_label="epoch", y_label="lr"
            ),
            table=numbers(("epoch", "lr"), rates, caption="Learning rate by epoch"),
        )
    )
    return ReportSection("training", "Training", "", tuple(figures))


def _accuracy(facts: Facts) -> list[Markup]:
    records = facts.records
    measured = {key for record in records for key in record.get("eval") or {}}
    name = next((one for one in _TITLES if one in measured), "agreement")
    labelled = name in ("top1", "map", "micro_f1", "knn_top1")
    lines = [Curve("student", _points(records, "eval", name), "student")]
    if facts.spec.get("train", {}).get("ema"):
        lines.append(Curve("student, averaged", _points(records, "ema", name), "ema"))
    training_top1 = _points(records, "train", "top1")
    if labelled and any(y is not None for _, y in training_top1):
        lines.append(Curve("student on training images", training_top1, "faint"))
    levels = {label: about.get(name) for label, about in facts.teachers.items()}
    if labelled:
        lines += [
            Curve(label, [], "teacher level", level) for label, level in levels.items() if level is not None
        ]
    lines = [line for line in lines if line.values]
    if not lines:
        return []
    title = _TITLES[name]
    rows = [
        (record["epoch"], *(dict(line.points).get(record["epoch"], line.level) for line in lines))
        for record in records
    ]
    return [
        figure(
            title,
            line_chart(lines, label=f"{title} by epoch, in percent", x_label="epoch", y_label="%"),
            legend=[(line.class_, line.name) for line in lines],
            table=numbers(("epoch", *(line.name for line in lines)), rows, caption=f"{title} by epoch"),
        )
    ]


def _losses(facts: Facts) -> list[Markup]:
    records = facts.records
    terms = list(dict.fromkeys(name for record in records for name in (record.get("terms") or {})))
    lines = [
        Curve("sum", [(record["epoch"], record.get("loss")) for record in records], "ink"),
        Curve("task loss", [(record["epoch"], record.get("task_loss")) for record in records], "s1"),
    ]
    lines += [Curve(name, _points(records, "terms", name), f"s{2 + i % 6}") for i, name in enumerate(terms)]
    if not terms:  # the task loss is all there is
        lines = [Curve("task loss", lines[1].points, "s1")]
    lines = [line for line in lines if line.values]
    if not lines:
        return []
    values = [value for line in lines for value in line.values]
    log = min(values) > 0 and max(values) > 30 * min(values)
    rows = [
        (record["epoch"], *(dict(line.points).get(record["epoch"]) for line in lines)) for record in records
    ]
    return [
        figure(
            "Loss terms",
            line_chart(lines, label="loss terms by epoch", x_label="epoch", y_label="loss", log=log),
            legend=[(line.class_, line.name) for line in lines],
            note="Weighted, as they are added up; mean over the epoch."
            + (" The scale is logarithmic." if log else ""),
            table=numbers(("epoch", *(line.name for line in lines)), rows, caption="Loss terms by epoch"),
        )
    ]


def _points(
    records: Sequence[dict[str, dict[str, float | None]]], part: str, name: str
) -> list[tuple[float, float | None]]:
    return [(record["epoch"], (record.get(part) or {}).get(name)) for record in records]  # type: ignore[misc]
