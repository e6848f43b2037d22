"""`kd predict`: the classes of new images."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from kdcore.plugin import (
    Best,
    Ema,
    JsonFlag,
    chosen_weights,
    duration,
    key_values,
    print_json,
    say,
    stdout_for_the_result,
    warn_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kd_export.prediction.predict import PredictResult

_SHOWN: Final = 20
"""Broken images that are named, and classes that are counted, on the terminal."""


def predict(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run directory, or the folder of an export.", show_default=False
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES...",
            help="Files, folders with everything below them, tables of files, or - for paths on standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Table to write: .csv, .jsonl or .parquet.  [default: CSV on standard output]",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column of the files in a table.  [default: path, file, filename, file_name or image]",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that paths in a table are relative to.  [default: the table's]", show_default=False
        ),
    ] = None,
    table_options: Annotated[
        list[str] | None,
        typer.Option(
            "--table-option",
            metavar="KEY=VALUE",
            help="How a table is read: a key of data.options, such as encoding=cp1252; may be repeated.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes in a row, the most likely first.")] = 1,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add the probability of each class.")
    ] = False,
    embedding: Annotated[bool, typer.Option("--embedding", help="Add the embedding of each image.")] = False,
    organize: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="New folder for a copy of each image, in a folder of its class.",
            show_default=False,
        ),
    ] = None,
    ema: Ema = False,
    best: Best = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in one forward pass.")] = 64,
    device: Annotated[str, typer.Option(help="Device of a run's student, such as cuda.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Predict the classes of new images with the student of RUN.

    Images that cannot be read are listed, and left out of the table. An export runs its own load.py.
    """
    from kd_export.prediction.predict import predict as compute
    from kdcore import Problem, UserError

    if as_json and output is None:
        message = "standard output can have the table or the JSON"
        raise UserError(Problem("--json", message, hint="give -o FILE for the table"))
    # the table goes to standard output itself
    with contextlib.nullcontext() if output is None else stdout_for_the_result(), _bar() as advance:
        result = compute(
            target,
            images,
            output,
            column=column,
            root=root,
            table_options=key_values(table_options, "--table-option", "encoding=cp1252"),
            weights=chosen_weights(ema, best),
            top=top,
            probabilities=probabilities,
            embedding=embedding,
            organize=organize,
            batch_size=batch_size,
            device=device,
            force=force,
            advance=advance,
        )
    warn_all(_warnings(result))
    if as_json:
        print_json(result.as_dict())
        return
    for line in describe(result):
        say(line, err=output is None)


def describe(result: PredictResult) -> list[str]:
    """The result in a few lines."""
    where = "" if result.output is None else f" in {result.output}"
    lines = [f"{_count(result.images)}{where}, in {duration(result.seconds)}"]
    shown = list(result.classes.items())[:_SHOWN]
    if shown:
        rest = len(result.classes) - len(shown)
        counts = ", ".join(f"{name} {count:,}" for name, count in shown)
        lines.append(f"classes: {counts}{f' and {rest:,} more classes' if rest else ''}")
    if result.organized is not None:
        lines.append(f"copied to {result.organized}")
    return lines


def _warnings(result: PredictResult) -> list[str]:
    lines = list(result.notes)
    if result.broken:
        have = "has" if len(result.broken) == 1 else "have"
        lines.append(f"{_count(len(result.broken))} cannot be read and {have} no row:")
        lines += [f"{path}: {why}" for path, why in list(result.broken.items())[:_SHOWN]]
        if len(result.broken) > _SHOWN:
            lines.append(f"and {len(result.broken) - _SHOWN:,} more; --json lists all of them")
    return lines


def _count(images: int) -> str:
    return f"{images:,} image" if images == 1 else f"{images:,} images"


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("images")
        yield lambda done, total: progress.update(task, completed=done, total=total)
