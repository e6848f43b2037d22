"""What every page has to keep."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "wbr", "link"}
NOT_WRITTEN = re.compile(r"(?<![\w-])(nan|inf|None|undefined)(?![\w-])")


class Page(HTMLParser):
    """Reads a page and complains where it is not well formed, reaches elsewhere or shows what is no number."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open
        assert len(set(self.ids)) == len(self.ids)
        assert {anchor[1:] for anchor in self.anchors} <= set(self.ids)
        shown = " ".join(self.words)
        found = NOT_WRITTEN.search(shown)
        assert found is None, shown[max(0, found.start() - 60) : found.end() + 20]

    @property
    def text(self) -> str:
        """What is read, in one line."""
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        assert tag not in {"script", "link", "iframe", "object"}
        assert not any(name.startswith("on") for name in given)
        if "id" in given:
            self.ids.append(str(given["id"]))
        for name in ("src", "href"):
            target = given.get(name)
            if target is None:
                continue
            if tag == "a":
                (self.anchors if target.startswith("#") else self.links).append(target)
            else:
                assert target.startswith("data:image/"), target
        if tag == "img":
            assert given.get("alt")
        if tag == "svg":
            assert given.get("aria-label") or given.get("aria-hidden") == "true"
        for name, value in given.items():
            if name not in {"alt", "aria-label", "href", "src", "title"}:
                assert not NOT_WRITTEN.search(value or "") or name == "class", (tag, name, value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "pre"}:
            if self.tags and self.tags[-1] == "wbr":  # a place where a word may be broken is no end of it
                data = self.words.pop() + data
                self.tags.append("")
            self.words.append(data)
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
