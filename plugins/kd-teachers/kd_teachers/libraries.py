"""Libraries that are extras: imported when a model needs them."""

from __future__ import annotations

import importlib
from typing import Any

from kdcore import Problem, UserError
from kdcore.plugin import pip_install


def library(name: str, extra: str) -> Any:
    """The module of this name.

    Raises:
        UserError: it is not installed; the hint is the command that installs the extra.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = f"this model needs the library {name}, which is not installed"
        raise UserError(Problem("model", message, hint=pip_install("kd-teachers", extra=extra))) from error
