"""`kd install` and `kd uninstall`: pip or uv, for the environment that kd lives in."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

import typer

from kdcore.cli import output
from kdcore.errors import Problem, RunFailed, UserError

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Plugins, as pip takes them.", show_default=False)
]
KEPT: Final = ("torch", "torchvision", "timm")
"""What installing a plugin must not replace: often it comes from another index than the plugin."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the command, and do nothing.")]


def install(
    names: Names,
    editable: Annotated[
        bool, typer.Option("--editable", "-e", help="NAMEs are folders of plugins that you work on.")
    ] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", "-U", help="Take the newest versions.")] = False,
    find_links: Annotated[
        list[str] | None,
        typer.Option("--find-links", "-f", metavar="FOLDER", help="A folder or page with wheels."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Install plugins into the environment that kd lives in, and show what they add.

    kd's own plugins come from where kd was installed: an index, a folder of wheels, a source folder, or a repository.
    The installed torch, torchvision and timm stay as they are.
    """
    from kdcore.plugins.installers import install as command_for
    from kdcore.plugins.installers import installer
    from kdcore.plugins.sources import Wanted, edited, located, wheel_folder

    _check(names)
    links = (*(find_links or ()), *wheel_folder())
    wanted = sum(map(edited, names), Wanted()) if editable else located(names)
    kept = _kept(names) if installer() in ("pip", "uv") else ()  # others would note them as wanted
    wanted += Wanted(kept, find_links=links)
    flags = ["--upgrade"] if upgrade else []
    if _run("install", command_for(wanted, *flags, full=True), dry_run):
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
    from kdcore.plugins.installers import installer
    from kdcore.plugins.installers import uninstall as command_for
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
    if not dry_run and not yes and not typer.confirm(f"remove {', '.join(found)}?", err=True):
        raise typer.Exit(1)
    flags = ["--yes"] if installer() == "pip" else []  # uv does not ask
    _run("uninstall", command_for(found, *flags, full=True), dry_run)


def _kept(names: list[str]) -> tuple[str, ...]:
    """The installed versions of what has to stay, as requirements."""
    from packaging.requirements import InvalidRequirement, Requirement

    asked = set()
    for name in names:
        try:
            asked.add(Requirement(name).name.lower())
        except InvalidRequirement:  # a folder or a wheel
            continue
    found = []
    for name in KEPT:
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return () if asked & set(KEPT) else tuple(found)


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


def _run(action: str, command: list[str], dry_run: bool) -> bool:
    from kdcore.plugins.installers import in_shell, installer

    text = in_shell(command)
    if dry_run:
        output.say(text)
        return False
    manager = installer()
    if manager == "none":
        hint = f"'{in_shell([sys.executable, '-m', 'ensurepip'])}' installs pip"
        raise UserError(Problem(f"kd {action}", "this environment has neither pip nor uv", hint=hint))
    if manager in ("pipx", "uv tool"):
        # it builds the environment that this process runs in, from its own list of packages
        raise UserError(Problem(f"kd {action}", f"{manager} manages this environment", hint=f"run: {text}"))
    output.say(text, err=True)
    with output.stdout_for_the_result():
        code = subprocess.run(command, check=False).returncode  # noqa: S603  # no shell, names checked
    if code != 0:
        raise RunFailed(f"{manager} ended with exit code {code}{_ADVICE[action]}")
    return True


_ADVICE: Final = {
    "install": "; its messages above say why.\n"
    "    If it found no such package, name its folder or wheel ('kd install ./kd-mine'), or the folder of the wheels\n"
    "    ('kd install kd-mine --find-links ./wheels'). If a plugin needs another torch, torchvision or timm than the\n"
    "    installed one, name the version ('kd install kd-mine torch==2.9.1').",
    "uninstall": "; its messages above say why",
}
