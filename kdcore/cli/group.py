"""The group of all commands: listed from what plugins declare, and imported when they are called."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from kdcore.cli import output
from kdcore.entries import CommandEntry
from kdcore.errors import Problem, UserError
from kdcore.plugins import Plugins, available_plugins, get_plugins
from kdcore.plugins.switches import CORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.plugins import Provided

ALWAYS: Final = (
    "plugins",
    "doctor",
)  # with these one finds out what is wrong: no plugin can take their names
_WHERE: Final = "kd"


class QuickCommand(TyperCommand):
    """A command whose `--help` costs nothing if it is not given."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option `--help`."""
        return _without_coercion(super().get_help_option(ctx))


class QuickSubgroup(TyperGroup):
    """A group of commands that imports nothing until it is called."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option `--help`."""
        return _without_coercion(super().get_help_option(ctx))


class PluginGroup(QuickSubgroup):
    """The application `kd`.

    Attributes:
        plugins: the plugins whose commands it has; by default the installed ones.
    """

    plugins: Plugins | None = None

    _rows: dict[str, str] | None = None  # while a list is made, for which declarations are enough

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text, with a warning for each broken plugin; a broken plugin never prevents it."""
        output.warn_all(self._all_plugins().warnings())
        with self._only_declarations():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the names of commands and options."""
        with self._only_declarations():
            return super().shell_complete(ctx, incomplete)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        return list(self._rows or command_rows(self._all_plugins()))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, imported unless only its name and summary are needed.

        Raises:
            UserError: there is no such command, two plugins have it, or its plugin is broken.
        """
        if cmd_name.startswith("-"):
            return None
        if self._rows is not None:
            return QuickCommand(cmd_name, help=self._rows[cmd_name]) if cmd_name in self._rows else None
        if ctx.resilient_parsing and cmd_name not in self.list_commands(ctx):
            return None
        plugins = self.plugins or (self._all_plugins() if cmd_name in ALWAYS else get_plugins())
        return load_command(cmd_name, plugins)

    @contextlib.contextmanager
    def _only_declarations(self) -> Iterator[None]:
        self._rows = command_rows(self._all_plugins())
        try:
            yield
        finally:
            self._rows = None

    def _all_plugins(self) -> Plugins:
        return self.plugins or available_plugins()


def command_rows(plugins: Plugins) -> dict[str, str]:
    """Name and summary of every command: the core's in their order, then the others by name."""
    found = plugins.all(CommandEntry)
    rows = {item.entry.name: item.entry.summary for item in found}
    for name, number in Counter(item.entry.name for item in found).items():
        if number > 1 and name not in ALWAYS:
            owners = " and ".join(item.plugin.name for item in found if item.entry.name == name)
            rows[name] = f"(ambiguous: {owners} have it)"
    for info in plugins.broken:
        for entry in info.declared(CommandEntry):
            rows.setdefault(entry.name, f"(broken: see 'kd plugins {info.name}')")
    core = next(info for info in plugins.infos if info.name == CORE)
    order = [entry.name for entry in core.declared(CommandEntry)]
    return {name: rows[name] for name in [*order, *sorted(rows.keys() - set(order))]}


def load_command(name: str, plugins: Plugins) -> Any:
    """The command of this name, or `plugin/name`, with its code imported.

    Raises:
        UserError: there is no such command, two plugins have it, its plugin is broken, or typer refuses its target.
    """
    ref = f"{CORE}/{name}" if name in ALWAYS else name
    provided = plugins.find(CommandEntry, ref, _WHERE)
    return _as_click(provided, plugins.load(provided, _WHERE))


def _as_click(provided: Provided[CommandEntry], target: Any) -> Any:
    entry, label = provided.entry, provided.plugin.label
    outer = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    outer.callback()(lambda: None)  # a group, even with one command
    try:
        if isinstance(target, typer.Typer):
            outer.add_typer(target, name=entry.name, help=target.info.help or entry.summary)
        elif callable(target) and not isinstance(target, type):
            outer.command(entry.name, cls=QuickCommand)(target)
        else:
            raise TypeError(f"it is {type(target).__name__}")
        group: Any = typer.main.get_command(outer)
        return group.commands[entry.name]
    except (TypeError, RuntimeError, AssertionError, ValueError, NameError) as error:
        message = f"command '{entry.name}' of plugin {label}: {entry.target} cannot be a command: {error}"
        allowed = "a function whose parameters typer accepts, or a typer.Typer"
        raise UserError(Problem(_WHERE, message, allowed=allowed)) from error


def _without_coercion(option: Any) -> Any:
    # if it is not given, its value is None, and typer imports pydantic's types to coerce all but bools
    if option is not None:
        option.default = False
    return option
