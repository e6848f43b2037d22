"""The command to print where something has to be installed: it works as it stands, however kd was installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdcore.plugins.sources import Wanted

# what the functions use is imported when they are called: only errors need it


def pip_install(*requirements: str, extra: str | None = None, upgrade: bool = False) -> str:
    """The command that installs requirements into the environment that kd lives in.

    `pip install kd-report`, or what does it here: with uv or pipx where these manage the environment, and kd's own
    packages from where kd itself was installed.

    Args:
        requirements: as pip takes them.
        extra: an extra of each of them.
        upgrade: whether to take newer versions than the installed ones.
    """
    from kdcore.plugins.sources import located

    texts = [f"{text}[{extra}]" for text in requirements] if extra else requirements
    return _command(located(texts), *(["--upgrade"] if upgrade else []))


def pip_editable(folder: str) -> str:
    """The command that installs a folder as editable; it may end with extras in brackets."""
    from kdcore.plugins.sources import edited

    return _command(edited(folder))


def pip_upgrade(name: str) -> str:
    """The command that installs the newest version of an installed distribution, from where it was installed."""
    from kdcore.plugins.sources import source

    return _command(source(name, newest=True), "--upgrade")


def pip_reinstall(name: str) -> str:
    """The command that installs a distribution again, without what it needs: torch stays as it is."""
    from kdcore.plugins.sources import source

    return _command(source(name), "--force-reinstall", "--no-deps")


def pip_uninstall(*names: str) -> str:
    """The command that uninstalls distributions."""
    from kdcore.plugins.installers import in_shell, uninstall

    return in_shell(uninstall(names))


def _command(wanted: Wanted, *flags: str) -> str:
    from kdcore.plugins.installers import in_shell, install, installer

    command = in_shell(install(wanted, *flags))
    if installer() != "none":
        return command
    return f"{in_shell([sys.executable, '-m', 'ensurepip'])} && {command}"
