"""Checks the built site: links and anchors lead somewhere, and no Markdown is left in the text."""

from __future__ import annotations

import posixpath
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

_LEFT: Final = {
    "a list without an empty line in front of it, or with less than four spaces": re.compile(r"^\s*- ", re.M),
    "a table that is not one": re.compile(r"^\s*\|.*\|\s*$", re.M),
    "a link that is not one": re.compile(r"\]\("),
    "a code block that is not one": re.compile(r"```"),
}


class Page(HTMLParser):
    """The links, anchors and paragraphs of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.paragraphs: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what leads to something, and what something can lead to."""
        found = dict(attrs)
        if tag == "a" and "name" in found:
            self.anchors.add(found["name"] or "")
        if "id" in found:
            self.anchors.add(found["id"] or "")
        for name in ("href", "src"):
            if found.get(name) is not None and not (tag == "link" and found.get("rel") == "canonical"):
                self.links.append(found[name] or "")
        if tag in ("p", "code", "pre"):
            self._open.append(tag)
            if tag == "p":
                self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        """A paragraph ends."""
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Text of a paragraph that is not code."""
        if self._open == ["p"]:
            self.paragraphs[-1] += data


def problems(site: Path) -> list[str]:
    """One line for each problem of a built site."""
    pages = {path.relative_to(site).as_posix(): _read(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for name, page in pages.items():
        if name == "404.html":
            continue  # its links begin at the top of the server
        folder = posixpath.dirname(name)
        found += [
            f"{name}: {problem}" for link in page.links if (problem := _dead(link, name, folder, pages, site))
        ]
        for text in page.paragraphs:
            found += [
                f"{name}: {kind}: {text.strip()[:80]!r}" for kind, left in _LEFT.items() if left.search(text)
            ]
    return sorted(set(found))


def _dead(link: str, name: str, folder: str, pages: dict[str, Page], site: Path) -> str | None:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https", "mailto", "data", "javascript") or parts.netloc:
        return None
    path = unquote(parts.path)
    target = posixpath.normpath(posixpath.join(folder, path)) if path else name
    if path.endswith("/") or target == ".":
        target = posixpath.normpath(posixpath.join(target, "index.html"))
    if target.startswith(("..", "/")) or not (site / target).is_file():
        return f"the link to {link!r} leads to no file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors and anchor != "__skip":
        return f"there is no heading for the link to {link!r}"
    return None


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page
