"""Flags whose values are KEY=VALUE."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable


def key_values(texts: Iterable[str] | None, flag: str, example: str) -> dict[str, Any]:
    """The values by their keys: as JSON where they are JSON, as text otherwise.

    Args:
        texts: what was given, each KEY=VALUE; a later one replaces an earlier one of the same key.
        flag: for messages.
        example: for messages, such as `depth=6`.

    Raises:
        UserError: with every text that is not KEY=VALUE.
    """
    found, problems = dict[str, Any](), list[Problem]()
    for text in texts or ():
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(Problem(flag, "must be KEY=VALUE", text, f"such as {example}"))
            continue
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    if problems:
        raise UserError(problems)
    return found
