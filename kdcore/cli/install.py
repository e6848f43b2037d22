"""`kd install` and `kd uninstall`: pip or uv, for the environment that kd lives in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from kdcore.cli import output
from kdcore.errors import Problem, RunFailed, UserError

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Plugins, as pip takes them.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the command, and do nothing.")]


def install(
    names: Names,
    editable: Annotated[
        bool, typer.Option("--editable", "-e", help="NAMEs are folders of plugins that you work on.")
    ] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", "-U", help="Take the newest versions.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Install plugins into the environment that kd lives in, and show what they add."""
    _check(names)
    flags = ["--upgrade"] if upgrade else []
    wanted = [part for name in names for part in (["--editable", name] if editable else [name])]
    if _run([*installer("install"), *flags, *wanted], dry_run):
        # this process has read the metadata before: a new one sees what is there now
        subprocess.run([sys.executable, "-m", "kdcore", "plugins"], check=False)  # kd itself


def uninstall(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove plugins from the environment that kd lives in."""
    from kdcore.errors import listed, nearest
    from kdcore.plugins import get_plugins
    from kdcore.plugins.records import normalised

    _check(names)
    # of one plugin kd knows the entry point's name, pip the distribution's
    known = {
        name: info.distribution
        for info in get_plugins().infos
        if info.distribution != "kdcore"
        for name in info.candidate.names
    }
    problems = [
        Problem(
            name, "no such plugin is installed", nearest=nearest(name, known), allowed=listed(known.values())
        )
        for name in names
        if normalised(name) not in known
    ]
    if problems:
        raise UserError(problems)
    found = sorted({known[normalised(name)] for name in names})
    command = [*installer("uninstall"), *found]
    if not dry_run and not yes and not typer.confirm(f"remove {', '.join(found)}?", err=True):
        raise typer.Exit(1)
    _run(command, dry_run)


def installer(action: str) -> list[str]:
    """The command that installs into, or uninstalls from, the environment of this Python.

    Raises:
        UserError: there is neither pip nor uv.
    """
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", action, *(["--yes"] if action == "uninstall" else [])]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", action, "--python", sys.executable]
    hint = f"'{sys.executable} -m ensurepip' installs pip"
    raise UserError(Problem("kd " + action, "this environment has neither pip nor uv", hint=hint))


def _check(names: list[str]) -> None:
    # a name that begins with a dash would be an option of pip
    problems = [
        Problem(
            "NAME",
            "this is not the name of a plugin",
            name,
            allowed="a name, a requirement, a folder or a wheel",
        )
        for name in names
        if not name.strip() or name.startswith("-")
    ]
    if problems:
        raise UserError(problems)


def _run(command: list[str], dry_run: bool) -> bool:
    if dry_run:
        output.say(" ".join(command))
        return False
    with output.stdout_for_the_result():
        code = subprocess.run(command, check=False).returncode  # noqa: S603  # no shell, names checked
    if code != 0:
        raise RunFailed(f"the command ended with exit code {code}: {' '.join(command)}")
    return True
