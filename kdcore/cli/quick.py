"""Typer's command classes without what makes every command slow."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from kdcore.cli import output
from kdcore.plugins import Plugins


class QuickCommand(TyperCommand):
    """A command whose `--help` costs nothing where it is not given."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option `--help`."""
        return _without_coercion(super().get_help_option(ctx))


class QuickSubgroup(TyperGroup):
    """A group of commands that imports nothing until it is called."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option `--help`."""
        return _without_coercion(super().get_help_option(ctx))


class QuickGroup(QuickSubgroup):
    """The application: its help comes with a warning about each broken plugin."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text; it must come whatever plugins there are."""
        output.warn_all(Plugins.discover(strict=False).warnings())
        super().format_help(ctx, formatter)


def _without_coercion(option: Any) -> Any:
    # where it is not given its value is None, and typer imports pydantic's types to coerce all but bools
    if option is not None:
        option.default = False
    return option
