"""`kd list-models`: the models that a spec can name."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import Annotated

import typer

from kdcore.cli.output import JsonFlag, print_json, say_all, table
from kdcore.commands.list_models import ListedModel, list_models
from kdcore.errors import Problem, UserError

_SHOWN = 6  # similar names, if no model matches


def list_models_command(
    pattern: Annotated[
        str | None, typer.Argument(help="A part of the name, or the name with wildcards, such as 'resnet*'.")
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Only models that have pretrained weights.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the models that a spec can name: timm's and those of plugins.

    A name can be followed by the tag of its weights, as in resnet18.a1_in1k.
    """
    pattern = pattern or ""
    found = list_models(pattern, pretrained=pretrained)
    if not found:
        raise UserError(_nothing_matches(pattern, pretrained))
    if as_json:
        print_json([asdict(model) for model in found])
        return
    say_all(table(["name", "from", "pretrained weights"], [_row(model) for model in found]))


def _row(model: ListedModel) -> list[str]:
    return [model.name, model.source, ", ".join(model.pretrained) or model.summary]


def _nothing_matches(pattern: str, pretrained: bool) -> Problem:
    if pretrained and list_models(pattern):
        message = "the models with this name have no pretrained weights"
        return Problem("PATTERN", message, pattern, hint="leave out --pretrained to list them")
    names = [model.name for model in list_models(pretrained=pretrained)]
    plain = pattern.lower().strip("*?").partition(".")[0]
    close = difflib.get_close_matches(plain, names, n=_SHOWN, cutoff=0.6)
    return Problem(
        "PATTERN",
        "no model has a name like this",
        pattern,
        nearest=close[0] if close else None,
        allowed=f"for example {', '.join(close)}" if close else None,
        hint=None if close else "kd list-models lists all names",
    )
