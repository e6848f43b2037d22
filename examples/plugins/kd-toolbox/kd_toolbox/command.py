"""`kd csv`: the metrics of each epoch of a run as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from kdcore import Problem, RunDirectory, UserError
from kdcore.plugin import RunPath, csv_cell, flat, say, write_text

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write into this file, not on stdout.", show_default=False),
]


def csv_command(run: RunPath, output: Output = None) -> None:
    """Write the metrics of each epoch of the run directory RUN as CSV."""
    directory = RunDirectory(run)
    if not directory.exists:
        raise UserError(Problem("RUN", "this is not a run directory", str(run)))
    records = [flat(record) for record in directory.metrics()]
    columns = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([csv_cell(column) for column in columns])
    writer.writerows([csv_cell(record.get(column)) for column in columns] for record in records)
    if output is None:
        for line in text.getvalue().splitlines():
            say(line)
    else:
        write_text(output, text.getvalue())
        say(f"wrote {output}")
