"""Arguments and flags of commands that open a run: which run, and which of its students."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from kdcore.inspect.students import Which

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", show_default=False)]
Ema = Annotated[bool, typer.Option("--ema", help="Take the averaged weights (train.ema).")]
Best = Annotated[
    bool, typer.Option("--best", help="Take the weights of the best epoch, also of a run that goes on.")
]


def chosen_weights(ema: bool, best: bool) -> Which:
    """The weights that `--ema` and `--best` choose.

    Raises:
        UserError: both are given.
    """
    if ema and best:
        message = "--ema and --best exclude each other: the averaged weights are those of the last step"
        raise UserError(Problem("--best", message))
    return "ema" if ema else "best" if best else "last"
