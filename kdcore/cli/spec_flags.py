"""The argument and the flag of commands that read a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SpecPath = Annotated[
    Path, typer.Argument(metavar="SPEC", help="The run spec: JSON, TOML or YAML.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a value of the spec; may be repeated."),
]
