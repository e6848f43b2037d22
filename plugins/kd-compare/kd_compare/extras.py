"""Packages that only an extra of kd-compare installs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kdcore import Problem, UserError
from kdcore.plugin import pip_install


def import_extra(module: str, extra: str, where: str, value: str | None = None) -> Any:
    """The module, from the package of the same name.

    Args:
        module: its name.
        extra: the extra of kd-compare that installs it.
        where: the place of the problem if it is missing.
        value: what was asked for there.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        hint = f"install it: {pip_install(f'kd-compare[{extra}]')}"
        raise UserError(Problem(where, f"needs the package {module}", value, hint=hint)) from None
