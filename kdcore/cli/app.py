"""The typer application: which commands there are, and what happens around each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from kdcore.cli import output
from kdcore.cli.group import ALWAYS, PluginGroup
from kdcore.cli.streams import command_streams
from kdcore.cli.threads import leave_threads
from kdcore.errors import KdError, UserError
from kdcore.plugins import get_plugins
from kdcore.version import __version__

COMPLETE = "_KD_COMPLETE"  # the variable by which a shell asks for completions


def _version(wanted: bool) -> None:
    if wanted:
        output.say(f"kd {__version__}")
        raise typer.Exit


def _around(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand not in ALWAYS:
        output.warn_all(get_plugins().warnings())


def application(*, completion: bool = True) -> typer.Typer:
    """The application, whose commands are those of the plugins; `completion` adds the options that install it."""
    app = typer.Typer(
        name="kd",
        cls=PluginGroup,
        # rich's help panels cost as much time as all the rest of --help: plain help comes at once
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=completion,
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
        help="Distill image classifiers: train a small student with the help of a large teacher.",
        epilog="Start with 'kd list-distillers', 'kd show NAME' and 'kd run SPEC'.",
    )
    app.callback()(_around)
    return app


app = application()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code: 0, 1, 2, 129, 130 or 143."""
    own_process = arguments is None
    if COMPLETE in os.environ:  # a shell waits for completions: nothing else is printed, and by nobody else
        sys.exit(_run(arguments))
    with command_streams(until_exit=own_process):
        code = _run(arguments)
    if own_process:
        leave_threads(code)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command line; the exit code."""
    try:
        try:
            given = sys.argv[1:] if arguments is None else arguments
            command = typer.main.get_command(_quick_or_whole(given))
            command(args=arguments, prog_name="kd")
        except SystemExit as ended:
            code = ended.code
            return code if isinstance(code, int) else 0 if code is None else 1
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone
        return 1
    except KeyboardInterrupt:
        return 130
    except UserError as error:
        output.print_problems(error.problems)
        _blame_cause(error)
        return error.exit_code
    except KdError as error:
        output.print_error(str(error))
        _blame_cause(error)
        return error.exit_code
    except Exception as error:
        from kdcore.cli.blame import print_unexpected

        print_unexpected(error)
        return 1
    return 0


def _blame_cause(error: KdError) -> None:
    # with these exceptions a plugin's code may say that something does not fit, or names itself already
    from kdcore.plugins.importing import PluginError

    found = error.__cause__
    if found is not None and not isinstance(found, KdError | PluginError | ValueError | TypeError | OSError):
        from kdcore.cli.blame import print_blamed

        print_blamed(found, reported=error)


def _quick_or_whole(arguments: Sequence[str]) -> typer.Typer:
    # typer imports much of pydantic to process the completion options, even where they are not given
    completing = COMPLETE in os.environ or not arguments or arguments[0].startswith("-")
    return app if completing else application(completion=False)
