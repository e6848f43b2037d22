"""The arguments and flags of `kd compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Specs = Annotated[
    list[Path],
    typer.Argument(
        metavar="SPEC", help="A run spec, several run specs, or a comparison file.", show_default=False
    ),
]
Distillers = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="With one spec: the distillers to compare, or 'all'. The baseline, a student without a teacher, is added.",
        show_default=False,
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL,...",
        help="Of a comparison's methods, run only these, by their labels; no baseline is added.",
        show_default=False,
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="N|A,B,...", help="The number of seeds, or the seeds.  [default: 3]", show_default=False
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="auto|E,F,...",
        help="Rank the methods after these epochs, and train only the best ones further (successive halving).",
        show_default=False,
    ),
]
Eta = Annotated[
    int | None,
    typer.Option(
        min=2, help="With --budget: 1/ETA of the methods continue.  [default: 3]", show_default=False
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        help="The method that gains are relative to.  [default: the one without a teacher]",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a value in all runs; may be repeated."),
]
Name = Annotated[str | None, typer.Option(help="Name of the comparison's folder.", show_default=False)]
Output = Annotated[
    Path | None,
    typer.Option(help="Where to make that folder.  [default: the spec's output]", show_default=False),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Runs at the same time, each in its own process.  [default: 1, or one for each GPU]",
        show_default=False,
    ),
]
Launcher = Annotated[
    str,
    typer.Option(metavar="NAME", help="How runs are started, such as in the queue of a cluster."),
]
LauncherOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--launcher-option",
        metavar="KEY=VALUE|FILE.toml",
        help="An option of the launcher, or a file of them; may be repeated.",
    ),
]
Tuned = Annotated[
    int | None,
    typer.Option(
        metavar="TRIALS",
        min=1,
        help="Tune each method first, each with this number of trials, and compare the best values.",
        show_default=False,
    ),
]
Search = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY.PATH=RANGE|auto|FILE.toml",
        help="With --tuned: what is searched, as for 'kd tune'; may be repeated.  [default: auto]",
        show_default=False,
    ),
]
SamplerSeed = Annotated[
    int | None,
    typer.Option(
        help="With --tuned: with another seed, other values are tried.  [default: 0]", show_default=False
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="With --tuned: train the values of failed trials again, as 'kd tune' does."
    ),
]
Reports = Annotated[
    bool | None,
    typer.Option(
        "--reports/--no-reports",
        help="After the runs, write the report of each finished run that has none.  [default: no-reports]",
        show_default=False,
    ),
]
