"""`kd new-plugin`: a complete plugin package to start from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from kd_dev.kinds import PLUGIN_KINDS
from kdcore import Problem, UserError
from kdcore.plugin import JsonFlag, pip_editable, print_json, say, say_all


def new_plugin(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the package, such as kd-swd.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help=f"One of {', '.join(PLUGIN_KINDS)}.",
            show_default=False,
        ),
    ] = None,
    thing: Annotated[
        str | None,
        typer.Option(
            help="Its name in specs and commands.  [default: NAME without 'kd-']", show_default=False
        ),
    ] = None,
    features: Annotated[
        bool, typer.Option("--features", help="A distiller that reads feature maps and has a head.")
    ] = False,
    summary: Annotated[
        str | None, typer.Option(help="One line about it, for the lists.", show_default=False)
    ] = None,
    license: Annotated[str, typer.Option(metavar="LICENSE", help="MIT or Apache-2.0.")] = "MIT",
    author: Annotated[str | None, typer.Option(help="Who has the copyright.", show_default=False)] = None,
    directory: Annotated[
        Path | None,
        typer.Option(help="Where to make the package's folder.  [default: here]", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a new plugin: code, tests, README, licence, CI.

    You are prompted for anything not given.
    """
    from kd_dev.render import new_plugin as make

    name = name or _ask("name of the package, such as kd-swd", "NAME", None)
    kind = kind or _ask(f"kind ({', '.join(PLUGIN_KINDS)})", "--kind", "distiller")
    made = make(
        name,
        kind=kind,
        thing=thing,
        features=features,
        summary=summary,
        license=license,
        author=author,
        folder=directory,
    )
    if as_json:
        print_json({"path": str(made.path), "files": [str(file) for file in made.files]})
        return
    say(f"made {made.path}")
    for file in made.files:
        say(f"  {file}")
    install = pip_editable(f"{made.path}[test]")
    say_all(
        ["next:", f"  {install}", f"  cd {shlex.quote(str(made.path))}", "  pytest", "  kd run spec.json"]
    )


def _ask(question: str, where: str, default: str | None) -> str:
    if not sys.stdin.isatty():
        raise UserError(Problem(where, "this is missing, and nobody is there to be asked"))
    answer: str = typer.prompt(question, default=default, err=True)
    return answer.strip()
