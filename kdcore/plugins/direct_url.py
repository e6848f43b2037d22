"""Where a distribution was installed from: its `direct_url.json` (PEP 610), which those from an index do not have."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from kdcore.json_files import parse_json


@dataclass(frozen=True, slots=True)
class DirectUrl:
    """The contents of a `direct_url.json`.

    Attributes:
        url: of a folder, an archive (a wheel is one) or a repository.
        path: the local file or folder, if the URL names one.
        kind: what the URL names.
        editable: whether Python runs the code in the folder itself.
        commit: of the repository.
        subdirectory: of the repository or archive.
    """

    url: str
    path: Path | None
    kind: Literal["folder", "archive", "git"]
    editable: bool = False
    commit: str = ""
    subdirectory: str = ""


def direct_url(name: str) -> DirectUrl | None:
    """Where a distribution was installed from; None if from an index, not at all, or if its metadata is damaged."""
    try:
        return _parsed(parse_json(distribution(name).read_text("direct_url.json") or "{}"))
    except (PackageNotFoundError, OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


def editable_folder(name: str) -> Path | None:
    """The source folder of an editable installation; None if the distribution is not one."""
    found = direct_url(name)
    return found.path if found is not None and found.editable else None


def _parsed(about: dict[str, Any]) -> DirectUrl | None:
    if not about:
        return None
    url = str(about["url"])
    parts = urlsplit(url)
    path = Path(url2pathname(parts.path)) if parts.scheme == "file" else None
    subdirectory = str(about.get("subdirectory", ""))
    if "dir_info" in about:
        return DirectUrl(url, path, "folder", editable=about["dir_info"].get("editable", False) is True)
    if "vcs_info" in about and about["vcs_info"].get("vcs") == "git":
        return DirectUrl(
            url, path, "git", commit=str(about["vcs_info"]["commit_id"]), subdirectory=subdirectory
        )
    return DirectUrl(url, path, "archive", subdirectory=subdirectory) if "archive_info" in about else None
