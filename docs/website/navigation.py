"""The settings for Zensical: docs/zensical.toml with the navigation completed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METHODS: Final = "methods/README.md"
_SECTION: Final = re.compile(r"^### (.+)$", re.MULTILINE)
_PAGE: Final = re.compile(r"\]\(([\w-]+\.md)\)")


class NavigationError(Exception):
    """A page that is not in the navigation, or that is not there."""


def configuration(settings: dict[str, Any], pages: Path, address: str | None) -> str:
    """The text of the file that Zensical reads.

    Raises:
        NavigationError: if a page of docs/ is not in the navigation, or the navigation names a page that is not there.
    """
    project = settings["project"]
    project["nav"] = [_with_methods(entry, pages) for entry in project["nav"]]
    named = list(_paths(project["nav"]))
    there = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    missing = [path for path in named if path not in there]
    if missing:
        raise NavigationError(f"docs/zensical.toml names pages that are not there: {', '.join(missing)}")
    left = sorted(path for path in there - set(named) if not path.startswith("repository/"))
    if left:
        raise NavigationError(f"pages that are not in `nav` of docs/zensical.toml: {', '.join(left)}")
    if address is not None:
        project["repo_url"] = address
    lines = [f"{key} = {toml_value(value)}" for key, value in project.items()]
    return "[project]\n" + "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict):
        inner = ", ".join(
            f"{json.dumps(key, ensure_ascii=False)} = {toml_value(one)}" for key, one in value.items()
        )
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _with_methods(entry: Any, pages: Path) -> Any:
    """An entry of the navigation, with a part for each kind of methods behind their overview."""
    if isinstance(entry, dict):
        return {title: _with_methods(inner, pages) for title, inner in entry.items()}
    if isinstance(entry, list):
        return [one for inner in entry for one in _methods_behind(inner, pages)]
    return entry


def _methods_behind(entry: Any, pages: Path) -> list[Any]:
    if entry != METHODS:
        return [_with_methods(entry, pages)]
    _, *parts = _SECTION.split((pages / METHODS).read_text("utf-8"))
    kinds = [
        {title: [f"methods/{name}" for name in dict.fromkeys(_PAGE.findall(text))]}
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    return [METHODS, *kinds]


def _paths(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    for inner in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from _paths(inner)
