"""The version of the core, of what plugins rely on, and of other installed packages."""

from __future__ import annotations

from functools import cache
from typing import Final

__version__: Final = "0.1.0"
PLUGIN_API: Final = 1
"""Rises when something that a plugin relies on changes. A plugin that says another number is reported as broken."""


@cache
def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution; None if it is not installed. Read once in a process."""
    from importlib.metadata import PackageNotFoundError, version  # `import kdcore` does not need it

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
