"""`kd compare`: methods against each other over several seeds."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from kdcore.cli.output import JsonFlag, kept_in, print_json, say, say_all, stdout_for_the_result


def compare(
    specs: Annotated[
        list[Path],
        typer.Argument(metavar="SPEC", help="A run spec, several, or a comparison file.", show_default=False),
    ],
    distillers: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="With one spec: the methods, or 'all'. Vanilla is added as the baseline.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N|A,B,...", help="How many seeds, or which.  [default: 3]", show_default=False),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="auto|E,F,...",
            help="Judge the methods after these epochs, and train on only the best: successive halving.",
            show_default=False,
        ),
    ] = None,
    eta: Annotated[
        int | None,
        typer.Option(
            min=2, help="With --budget: one method in so many goes on.  [default: 3]", show_default=False
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="The method that gains are measured from, if not vanilla.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a value in all runs; may be repeated."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the comparison's folder.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Where that folder is made, instead of in the spec's output.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs at a time, each a process of its own.  [default: 1, or one for each GPU]",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare distillers, or specs, over several seeds.

    Runs what is missing and goes on with what was interrupted. One run that fails stops no other.
    """
    from kdcore.commands.compare.compare import compare as compare_specs
    from kdcore.commands.compare.request import parse_seeds

    with stdout_for_the_result():
        result = compare_specs(
            specs,
            distillers=None if distillers is None else [name.strip() for name in distillers.split(",")],
            seeds=None if seeds is None else parse_seeds(seeds),
            budget=budget,
            eta=eta,
            baseline=baseline,
            overrides=overrides or (),
            name=name,
            output=output,
            jobs=jobs,
        )
    if as_json:
        from kdcore.rundir.files import finite

        print_json(finite(result.as_dict()))
    else:
        from kdcore.commands.compare.table import for_terminal

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        with kept_in(result.directory):
            say_all(for_terminal(result, width=width).split("\n"))
            say(f"in {result.directory}: comparison.html, table.csv, table.md, table.tex, comparison.json")
    if result.failures():
        raise typer.Exit(1)
