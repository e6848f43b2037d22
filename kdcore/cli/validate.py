"""`kd validate`: every mistake of a spec, before anything is trained."""

from __future__ import annotations

from typing import Annotated

import typer

from kdcore.cli import output
from kdcore.cli.output import JsonFlag
from kdcore.cli.spec_flags import Overrides, SpecPath
from kdcore.errors import UserError


def validate(
    spec: SpecPath,
    overrides: Overrides = None,
    models: Annotated[
        bool,
        typer.Option(
            "--models/--no-models", help="Find the data and build the models, or check the spec alone."
        ),
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Find every mistake in SPEC before anything is trained.

    Names, types and ranges first; then the data, the models, and the distillers on them.
    """
    from kdcore.spec.load import load_spec

    lines: list[str] = []
    result: dict[str, object] = {"ok": True}
    try:
        loaded = load_spec(spec, overrides=overrides or ())
        if models:
            from kdcore.run.preflight import check

            report = check(loaded)
            output.warn_all(report.warnings)
            lines = report.lines()
            result |= report.as_dict()
    except UserError as error:
        if not as_json:
            raise
        output.print_json({"ok": False, "problems": [problem.as_dict() for problem in error.problems]})
        raise typer.Exit(error.exit_code) from error
    if as_json:
        output.print_json(result)
    else:
        output.say_all([*lines, f"{spec} is valid"])
