"""A tuning's result for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_compare.tuning.page import final_gain, short
from kd_compare.tuning.result import AGAIN, to_repeat
from kdcore.plugin import columns, printable

if TYPE_CHECKING:
    from kd_compare.tuning.result import TuneResult

_MOST = 5


def lines(result: TuneResult) -> list[str]:
    """The best trials, what their values gain, and where everything is."""
    head = ["trial", result.objective or "score", *(path.rpartition(".")[2] for path in result.space)]
    best = [row for row in result.ranked() if row.status == "finished" and row.feasible][:_MOST]
    table = [
        head,
        *(
            [
                str(row.number),
                short(row.score),
                *(printable(short(row.values[path])) for path in result.space),
            ]
            for row in best
        ),
    ]
    found = [line.rstrip() for line in columns(table, right=range(len(head)))]
    count = {name: sum(row.status == name for row in result.trials) for name in ("pruned", "failed")}
    others = ", ".join(f"{number} {name}" for name, number in count.items() if number)
    found += ["", f"{len(result.trials)} trials{', of them ' + others if others else ''}."]
    if to_repeat(result.trials):
        found.append(f"Some failed: {AGAIN}.")
    if result.best is None:
        found.append("No trial is finished within the constraints.")
    gain = final_gain(result)
    if gain is not None:
        found.append(gain)
    found.append(f"in {result.directory}: tuning.html, trials.csv, tuning.json")
    if result.best_spec is not None:
        found.append(f"The best spec: kd run {result.best_spec}")
    return found
