"""Collects the pages of the site: docs/, and each file of the repository that a page links to.

A page may link to any file of the repository, as on GitHub. docs/ is the top of the site; other files are in
`repository/`: Markdown as pages, folders as lists of their files, notebooks with their outputs, programs and specs as
pages with one block of code. So every link works on the site without the repository.
"""

from __future__ import annotations

import os.path
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Final

from website.notebooks import notebook_page

LINK: Final = re.compile(r"(!?\[[^\]]*\])\((?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
FENCE: Final = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
ELSEWHERE: Final = "repository"  # the folder of the site for files that are not in docs/
LEFT_OUT: Final = ("pages", "website", "timm_coverage", "distiller_pairs", "paper_tables")  # folders in docs/
LEFT_OUT_KINDS: Final = (".py", ".pyc", ".toml")
_LANGUAGES: Final = {".py": "python", ".yml": "yaml", ".sh": "bash", "": "text"}
_NOT_SEARCHED: Final = "---\nsearch:\n  exclude: true\n---\n\n"


def collect(root: Path, pages: Path) -> None:
    """Copy the pages of a repository into the folder `pages`, with links that fit there."""
    waiting = [root / path for path in ("CHANGELOG.md", "README.md")]
    for path in sorted((root / "docs").rglob("*")):
        inner = path.relative_to(root / "docs")
        if path.is_file() and inner.parts[0] not in LEFT_OUT and path.suffix not in LEFT_OUT_KINDS:
            waiting.append(path)
    done: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        target = pages / place(path, root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and target.suffix != ".md":
            shutil.copyfile(path, target)
            continue
        text = _page(path, root)
        target.write_text(as_rendered_here(relink(text, path, root)), encoding="utf-8")
        waiting += linked(text, path)


def place(path: Path, root: Path) -> PurePosixPath:
    """Where a file of the repository is in the folder of pages."""
    inner = PurePosixPath(path.relative_to(root).as_posix().removeprefix("."))  # hidden files have no page
    if inner.is_relative_to("docs"):
        inner = inner.relative_to("docs")
        return inner.with_suffix(".md") if inner.suffix == ".ipynb" else inner
    if path.is_dir():
        return ELSEWHERE / inner / "README.md"
    if inner.suffix == ".md":
        return ELSEWHERE / inner
    return ELSEWHERE / inner.with_name(f"{inner.name}.md")


def linked(text: str, page: Path) -> list[Path]:
    """The files and folders that a page links to; what does not exist is for the check of links."""
    folder = page if page.is_dir() else page.parent
    found = [_target(folder, match[2]) for part in FENCE.split(text)[::2] for match in LINK.finditer(part)]
    return [path for path in found if path.exists()]


def relink(text: str, page: Path, root: Path) -> str:
    """The text of a page with its links as they are on the site; code blocks stay as they are."""
    folder = page if page.is_dir() else page.parent
    here = place(page, root).parent

    def changed(match: re.Match[str]) -> str:
        target = _target(folder, match[2])
        if not target.is_relative_to(root):
            return match[0]
        new = os.path.relpath(place(target, root), here)
        return f"{match[1]}({new}{match[3] or ''})"

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(changed, part) for part in parts[::2]]
    return "".join(parts)


def as_rendered_here(text: str) -> str:
    """The text of a page for Python-Markdown, which keeps the backslash in front of a `|` in the code of a table."""

    def row(match: re.Match[str]) -> str:
        return re.sub(r"`[^`\n]+`", lambda code: code[0].replace("\\|", "|"), match[0])

    parts = FENCE.split(text)
    parts[::2] = [re.sub(r"^\|.*$", row, part, flags=re.MULTILINE) for part in parts[::2]]
    return "".join(parts)


def _target(folder: Path, link: str) -> Path:
    target = Path(os.path.normpath(folder / link))
    readme = target / "README.md"
    return readme if readme.is_file() else target


def _page(path: Path, root: Path) -> str:
    """The Markdown of a file or folder."""
    name = path.relative_to(root).as_posix()
    if path.is_dir():
        rows = [_link(inner) for inner in sorted(path.iterdir()) if _listed(inner)]
        return f"{_NOT_SEARCHED}# {name}\n\n" + "\n".join(rows) + "\n"
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        return text
    if path.suffix == ".ipynb":
        return notebook_page(text)
    language = _LANGUAGES.get(path.suffix, path.suffix[1:])
    return f"{_NOT_SEARCHED}# {path.name}\n\n`{name}`\n\n```{language}\n{text.rstrip()}\n```\n"


def _listed(path: Path) -> bool:
    if path.is_dir():
        return (path / "README.md").is_file()
    return path.suffix in (".json", ".md", ".py", ".sh", ".toml", ".yaml")


def _link(path: Path) -> str:
    return f"- [{path.name}{'/' if path.is_dir() else ''}]({path.name})"
