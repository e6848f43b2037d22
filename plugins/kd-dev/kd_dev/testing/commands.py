"""The checks of commands."""

from __future__ import annotations

import contextlib
import io
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared_subject import DeclaredSubject
from kd_dev.testing.imports import heavy_when_imported
from kdcore import CommandEntry, UserError
from kdcore.plugin import HEAVY, cause, get_plugins, load_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_dev.testing.check import Rule


class CommandSubject(DeclaredSubject[CommandEntry]):
    """A command, as `kd` has it."""

    @cached_property
    def made(self) -> Any:
        """The command that typer makes of the target, or the error."""
        try:
            return load_command(self.provided.qualified, get_plugins())
        except UserError as error:
            return error

    def commands(self) -> Iterator[tuple[str, Any]]:
        """The command and its subcommands, each by what is written on the command line.

        Raises:
            unittest.SkipTest: the check `declaration` fails.
        """
        if isinstance(self.made, UserError):
            skip("typer does not accept it: see the check 'declaration'")
        waiting = [(f"kd {self.entry.name}", self.made)]
        while waiting:
            path, command = waiting.pop()
            yield path, command
            waiting += [(f"{path} {name}", below) for name, below in getattr(command, "commands", {}).items()]


@rule(
    "command",
    summary="The declared target can be loaded, and typer makes a command of it.",
    why="`kd --help` lists the command from its declaration alone; a wrong target is found when a user calls it.",
    fix="Name a function whose parameters typer accepts, or a `typer.Typer`: `package.module:function`. Annotate "
    "every parameter, without `if TYPE_CHECKING:`.",
)
def declaration(subject: CommandSubject) -> None:
    if isinstance(subject.made, UserError):
        raise Violation(str(subject.made))


@rule(
    "command",
    summary="`--help` of the command, and of each of its subcommands, prints the usage and ends with code 0.",
    why="It is the first thing that a user tries.",
    fix="The message has the error. Nothing of the command's own code runs before `--help`.",
)
def help(subject: CommandSubject) -> None:
    for path, command in subject.commands():
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                code = command(["--help"], prog_name=path, standalone_mode=False)
        except (Exception, SystemExit) as error:
            raise Violation(f"'{path} --help' raised {cause(error)}") from error
        if code not in (0, None) or f"Usage: {path}" not in printed.getvalue():
            raise Violation(f"'{path} --help' ended with code {code} and printed {printed.getvalue()[:80]!r}")


@rule(
    "command",
    summary="Every argument and option has a help text.",
    why="`--help` is the documentation of a command on the command line.",
    fix='Write `Annotated[Path, typer.Argument(help="...")]` or `typer.Option(help="...")`.',
)
def help_texts(subject: CommandSubject) -> None:
    missing = [
        f"{parameter.name} of '{path}'"
        for path, command in subject.commands()
        for parameter in command.params
        if not getattr(parameter, "hidden", False) and not (getattr(parameter, "help", None) or "").strip()
    ]
    if missing:
        raise Violation(f"there is no help text for {', '.join(missing)}")


@rule(
    "command",
    summary="The module of its target imports neither torch, timm, torchvision, numpy nor accelerate.",
    why="`--help`, completion and a mistyped flag import this module; with torch in it, each takes seconds.",
    fix="Import them in the function, or put the work into another module that the function imports.",
)
def light(subject: CommandSubject) -> None:
    module = subject.entry.target.partition(":")[0]
    if isinstance(subject.made, UserError):
        skip("it cannot be loaded: see the check 'declaration'")
    found = heavy_when_imported(module)
    if found:
        raise Violation(f"importing {module} imports {', '.join(found)} (of {', '.join(HEAVY)})")


RULES: Final[tuple[Rule[CommandSubject], ...]] = (declaration, help, help_texts, light)
