"""`kd push`: a run's student on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdcore.plugin import (
    Best,
    Ema,
    JsonFlag,
    RunPath,
    chosen_weights,
    print_json,
    say,
    stdout_for_the_result,
    warn_all,
)


def push(
    run: RunPath,
    name: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="The repository on the hub.", show_default=False)
    ],
    ema: Ema = False,
    best: Best = False,
    license: Annotated[
        str | None, typer.Option(help="What the model card says, such as apache-2.0.", show_default=False)
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.", show_default=False)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder that would be pushed, and push nothing.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="That folder.  [default: RUN/export/hub]", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that folder.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Push the student of RUN to the Hugging Face hub, as timm's models are.

    The model card says what was trained, on which data, by which teacher and distiller, and with what result.
    """
    from kd_export.push_student import push as send

    with stdout_for_the_result():
        result = send(
            run,
            name,
            weights=chosen_weights(ema, best),
            license=license,
            private=private,
            message=message,
            dry_run=dry_run,
            output=output,
            force=force,
        )
    warn_all(result.warnings)
    if as_json:
        print_json(result.as_dict())
    elif result.path is not None:
        say(f"nothing was pushed; what would be is in {result.path}")
    else:
        say(f"pushed to {result.url}")
