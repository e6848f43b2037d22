"""Commands that break one rule each."""

from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(help="A name.")]


def good(name: Name, loud: Annotated[bool, typer.Option(help="Louder.")] = False) -> None:
    """Print a greeting."""
    typer.echo(f"hello {name}")


def refused(size: int | str) -> None:
    """Typer takes no unions."""


def undocumented(name: str, loud: Annotated[bool, typer.Option(help="Louder.")] = False) -> None:
    """A name without a help text."""


group = typer.Typer()
group.command("good")(good)

helpless = typer.Typer(context_settings={"help_option_names": ["-h"]})
helpless.command("one")(good)
helpless.command("two")(good)
