"""What `summary.json` says of a run's teachers."""

from __future__ import annotations

from typing import Any


def teachers_of(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The part on each teacher, by a label for people: `teacher`, or `teacher 'a'` for each of several."""
    given = summary.get("teacher")
    if isinstance(given, dict):
        return {"teacher": given}
    return {f"teacher '{one['name']}'": one for one in given or ()}
