"""`kd report`: make the page of a run again, or one page for several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdcore.plugin import JsonFlag, print_json, say, stdout_for_the_result


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the page goes. Default: report.html in the run directory; for several runs compared.html "
            "next to the first run.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Use at most N evaluation images.  [default: as in the spec]",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the report of a run, finished or not, or a page that compares several.

    The page needs no network. The figures as PNG and PDF, and their numbers, go to figures/ in the run directory.
    """
    from kd_report.reports.report import report as make

    with stdout_for_the_result():
        result = make(*runs, output=output, images=images)
    if as_json:
        print_json(
            {
                "report": str(result.path),
                "figures": [str(path) for path in result.figures],
                "notes": list(result.notes),
            }
        )
        return
    for note in result.notes:
        say(f"note: {note}", err=True)
    say(result.path)
