"""The `kd` command: one module per command, nothing heavy imported at the top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, by default on the process's own arguments, and exit with its code."""
    from kdcore.cli.app import main as run_app

    run_app(arguments)
