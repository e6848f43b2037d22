"""Whether a plugin's function can be called as kd calls it: without a check, the error would not name the plugin."""

from __future__ import annotations

import inspect
from typing import Any, Final

MISTAKE: Final = "this is a mistake in the plugin"
"""What to do about it, in messages."""


def call_fault(function: Any, *arguments: str) -> str | None:
    """Why a function cannot be called with these arguments by position, and what it takes; None: it can be called."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: it has no signature
        return None
    try:
        signature.bind(*arguments)
    except TypeError as error:
        wanted = f"({', '.join(arguments)})" if arguments else "no arguments"
        return f"cannot be called with {wanted}: {error}; its signature is {signature}"
    return None
