"""`kd cache-teacher`: the teacher's outputs, computed once for all runs that share them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdcore.cli.output import JsonFlag, kept_in, print_json, say, stdout_for_the_result
from kdcore.cli.spec_flags import Overrides, SpecPath
from kdcore.text import byte_size


def cache_teacher(
    spec: SpecPath,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run directories, instead of the spec's.", show_default=False),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Also write the logits to a table, with the names of the images.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Fill the teacher cache of SPEC ahead of its runs.

    What is there already stays. A teacher with a spec of its own is trained first.
    """
    from kdcore.run.fill_cache import cache_teacher as fill
    from kdcore.run.settle import is_main_process

    with stdout_for_the_result():
        result = fill(spec, overrides=overrides or (), output=output, table=table)
    if not is_main_process():
        return
    if as_json:
        print_json({**result.__dict__, "path": str(result.path)})
    else:
        with kept_in(result.path):
            say(f"{result.rows:,} rows, {result.computed:,} of them new, {byte_size(result.size_bytes)}")
            say(f"in       {result.path}")
