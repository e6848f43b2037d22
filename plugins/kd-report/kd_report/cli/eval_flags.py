"""The arguments and flags of `kd eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A run directory, a checkpoint, an export, or a model's name.",
        show_default=False,
    ),
]
Model = Annotated[str | None, typer.Option(help="Model of a checkpoint file.", show_default=False)]
Pretrained = Annotated[bool, typer.Option("--pretrained", help="Use timm's weights for the model TARGET.")]
Checkpoint = Annotated[
    Path | None, typer.Option(help="Use these weights for the model TARGET.", show_default=False)
]
SmallInput = Annotated[bool, typer.Option("--small-input", help="Use the model's variant for small images.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An argument of the model; may be repeated."),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        metavar="PIXELS",
        help="Side of the model's input, or height and width such as 48x96.",
        show_default=False,
    ),
]
Data = Annotated[str | None, typer.Option(help="A dataset, instead of the run's own.", show_default=False)]
Root = Annotated[Path | None, typer.Option(help="Folder of that dataset.", show_default=False)]
Split = Annotated[
    str | None,
    typer.Option(help="Split of the dataset.  [default: the run's, or 'test']", show_default=False),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        help="A run directory, or the name of a pretrained model.  [default: the run's teacher]",
        show_default=False,
    ),
]
NoTeacher = Annotated[bool, typer.Option("--no-teacher", help="Do not use a teacher.")]
TableOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--table-option",
        metavar="KEY=VALUE",
        help="Of a table as --data: a key of data.options, such as encoding=cp1252; may be repeated.",
    ),
]
TopK = Annotated[
    list[str] | None,
    typer.Option(
        "--top-k",
        metavar="K,K",
        help="Measure top-k accuracy for these k, apart from 1 and 5; may be repeated.",
    ),
]
Samples = Annotated[int | None, typer.Option(min=1, help="Use at most N images.", show_default=False)]
BatchSizes = Annotated[
    str, typer.Option(metavar="N,N", help="Measure the speed at these batch sizes; 0: do not measure it.")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Device, such as cpu or cuda:1.  [default: an accelerator if there is one]", show_default=False
    ),
]
