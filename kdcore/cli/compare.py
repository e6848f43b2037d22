"""`kd compare`, until commands are found as plugins are: it is in kd-compare."""

from __future__ import annotations

from kdcore.errors import Problem, UserError

try:
    from kd_compare.command import compare
except ModuleNotFoundError:

    def compare() -> None:  # type: ignore[misc]  # without arguments: it only fails
        """Compare methods over several seeds: comes with kd-compare."""
        raise UserError(Problem("compare", "this command is not installed", hint="pip install kd-compare"))


__all__ = ["compare"]
