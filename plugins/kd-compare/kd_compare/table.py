"""The result as CSV, Markdown and LaTeX, and in lines for a terminal."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

from kd_compare.cells import (
    NONE,
    ONE_SEED,
    best,
    caption,
    cells,
    gain,
    has_test_gains,
    head,
    number,
    said,
    score,
    tested,
)
from kdcore.inspect import is_percent, measure_label
from kdcore.plugin import columns, csv_cell, latex, markdown, printable

if TYPE_CHECKING:
    from kd_compare.result import ComparisonResult, MethodRow
    from kd_compare.statistics import Gain

_LESS: Final = (  # the first goes first
    "time of a run",
    "extra parameters",
    "images/s",
    "agreement %",
    "shared neighbours %",
)
_GAIN: Final = {  # ends of a gain's columns in the CSV, and the fields that they show
    "": "mean",
    **{f"_{name}": name for name in ("low", "high", "corrected_low", "corrected_high")},
}
_PLAIN: Final = {  # columns of the CSV, and the fields of a row that they show
    "method": "label",
    **{
        name: name
        for name in ("distiller", "status", "runs", "finished", "score", "std", "top1", "top5", "agreement")
    },
    **{name: name for name in ("images_per_second", "extra_parameters", "wall_seconds", "dropped_after")},
    **{name: name for name in ("knn_top1", "neighbour_agreement", "test_score")},
}


def to_csv(result: ComparisonResult) -> str:
    """A line for each method, numbers unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    more = dict.fromkeys(name for row in result.methods for name in row.scores if name not in _PLAIN)
    both = ("gain", "test_gain") if has_test_gains(result) else ("gain",)
    writer.writerow([*_PLAIN, *more, *(f"{name}{end}" for name in both for end in _GAIN)])
    for row in result.ranked():
        gains = [getattr(row, name) for name in both]
        deltas = [getattr(one, name, None) for one in gains for name in _GAIN.values()]
        cells_of_row = [csv_cell(getattr(row, name)) for name in _PLAIN.values()]
        writer.writerow([*cells_of_row, *(row.scores.get(name) for name in more), *deltas])
    return out.getvalue()


def to_markdown(result: ComparisonResult) -> str:
    """A table, and what its numbers are; a method that is clearly the best is in bold."""
    rows = [[markdown(name) for name in head(result)], ["---"] * len(head(result))]
    bold = best(result)
    for row in result.ranked():
        label, *others = cells(result, row)
        found = [markdown(label), *others]
        if row.label == bold:
            found[:2] = [f"**{cell}**" for cell in found[:2]]
        rows.append(found)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    failures = [
        f"- {markdown(run.method)}, seed {run.seed}: {markdown(said(run))}" for run in result.failures()
    ]
    told = "\n\nFailed:\n\n" + "\n".join(failures) if failures else ""
    return f"{table}\n\n{markdown(caption(result))}{told}\n"


def to_latex(result: ComparisonResult) -> str:
    """A booktabs table with the best score in bold, if a method is clearly the best."""
    names = _latex_head(result)
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{_plus_minus(latex(caption(result)))}}}",
        f"  \\begin{{tabular}}{{@{{}}l{'r' * (len(names) - 1)}@{{}}}}",
        "    \\toprule",
        f"    {' & '.join(names)} \\\\",
        "    \\midrule",
    ]
    bold = best(result)
    for row in result.ranked():
        escaped = [
            re.sub(r"^-(?=\d)", "$-$", _plus_minus(latex(cell))) if column else latex(cell)
            for column, cell in enumerate(_latex_cells(result, row))
        ]
        if row.label == bold:
            escaped[1] = f"\\textbf{{{escaped[1]}}}"
        lines.append(f"    {' & '.join(escaped)} \\\\")
    return "\n".join([*lines, "    \\bottomrule", "  \\end{tabular}", "\\end{table}", ""])


def _latex_head(result: ComparisonResult) -> list[str]:
    name = measure_label(result.metric)
    unit = " (\\%)" if is_percent(result.metric) else ""
    plain = latex(name)
    gained = f"ain over {latex(result.baseline)}" if result.baseline else "ain"
    return [
        "Method",
        latex(name if name[:2] in ("k-", "mA") else name[0].upper() + name[1:]) + unit,
        f"G{gained}",
        *([f"Test {plain}{unit}"] if tested(result) else []),
        *([f"Test g{gained}"] if has_test_gains(result) else []),
        "Images/s",
        "Extra parameters",
    ]


def _latex_cells(result: ComparisonResult, row: MethodRow) -> list[str]:
    def short(found: Gain | None) -> str:
        return gain(result, row, found).removesuffix(ONE_SEED)

    return [
        row.label,
        *(_dropped(row) if row.score is None else (score(row), short(row.gain))),
        *([number(row.test_score)] if tested(result) else []),
        *([short(row.test_gain)] if has_test_gains(result) else []),
        number(row.images_per_second, 0),
        NONE if row.extra_parameters is None else f"{row.extra_parameters:,}",
    ]


def _dropped(row: MethodRow) -> tuple[str, str]:
    if row.dropped_after is None:
        return "--", "--"
    at = "" if row.dropped_at is None else f"{row.dropped_at:.2f} "
    return f"{at}after epoch {row.dropped_after}", "dropped"


def _plus_minus(text: str) -> str:
    return text.replace("±", "$\\pm$")


def for_terminal(result: ComparisonResult, *, failures: bool = True, width: int | None = None) -> str:
    """Aligned columns, and below what the numbers are; columns that `width` has no room for are left out."""
    rows = [
        [printable(cell) for cell in row]
        for row in (head(result), *(cells(result, r) for r in result.ranked()))
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left_out = []
    for name in _LESS:
        if width is not None and name in rows[0] and sum(widths) + 2 * (len(widths) - 1) > width:
            column = rows[0].index(name)
            for row in rows:
                del row[column]
            del widths[column]
            left_out.append(name)
    lines = [line.rstrip() for line in columns(rows, right=range(1, len(widths) - 1))]
    lines += ["", caption(result)]
    if left_out:
        lines.append(f"No room for {', '.join(left_out)}: see comparison.html.")
    if result.epochs_trained < result.epochs_planned and result.status == "finished":
        lines.append(
            f"{result.epochs_trained} epochs were trained, of {result.epochs_planned} without the budget."
        )
    if failures and result.failures():
        lines += ["", "failed:"]
        lines += [f"  {run.method}, seed {run.seed}: {printable(said(run))}" for run in result.failures()]
    return "\n".join(lines)
