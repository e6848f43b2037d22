"""Find the entry points in the metadata of installed distributions. Imports no plugin."""

from __future__ import annotations

from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING, Final

from kdcore.plugins.records import Candidate, normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GROUP: Final = "kdcore"
UNKNOWN: Final = "unknown"


def find_candidates(path: Sequence[str] | None = None) -> tuple[Candidate, ...]:
    """Every entry point of the group, sorted; if `path` has a distribution twice, the first one counts.

    `path` is `sys.path` by default.
    """
    searched = distributions() if path is None else distributions(path=list(path))
    seen: set[str] = set()
    found: list[Candidate] = []
    for distribution in searched:
        text = _entry_points(distribution)
        if GROUP not in text:  # most distributions have none; reading their names would be slow
            continue
        name = name_of(distribution)
        if normalised(name) in seen:
            continue
        seen.add(normalised(name))
        found.extend(_candidates(_in_front(distribution, name, path) or distribution))
    return tuple(sorted(found, key=lambda candidate: (candidate.name, normalised(candidate.distribution))))


def name_of(distribution: Distribution) -> str:
    """The distribution's name; if its folder has no METADATA, the one in the folder's name."""
    try:
        name = distribution.metadata["Name"]
    except Exception:  # the error for a missing METADATA depends on Python's version
        name = None
    folder = getattr(distribution, "_path", None)
    return str(name or (folder.name.split("-")[0] if folder is not None else UNKNOWN))


def version_of(distribution: Distribution) -> str:
    """The distribution's version, or 'unknown' if its metadata is damaged."""
    try:
        return str(distribution.metadata["Version"] or UNKNOWN)
    except Exception:
        return UNKNOWN


def duplicates(names: Iterable[str], path: Sequence[str] | None = None) -> dict[str, tuple[str, ...]]:
    """The distributions among these that are installed more than once, with `version in folder` of each."""
    wanted = {normalised(name) for name in names}
    found: dict[str, list[str]] = {}
    for distribution in distributions() if path is None else distributions(path=list(path)):
        folder = getattr(distribution, "_path", None)
        stem = (
            normalised(folder.stem.split("-")[0]) if folder is not None else normalised(name_of(distribution))
        )
        if stem in wanted:
            place = f"{version_of(distribution)} in {distribution.locate_file('')}"
            found.setdefault(stem, []).append(place)
    several = {name: tuple(dict.fromkeys(places)) for name, places in sorted(found.items())}
    return {name: places for name, places in several.items() if len(places) > 1}


def _in_front(distribution: Distribution, name: str, path: Sequence[str] | None) -> Distribution | None:
    """The distribution of this name whose modules would be imported, if an earlier folder of the path has one."""
    searched = distributions(name=name) if path is None else distributions(name=name, path=list(path))
    first = next(iter(searched), None)
    if first is None or first.locate_file("") == distribution.locate_file(""):
        return None  # of two in one folder, one is a leftover of another version
    return first


def _entry_points(distribution: Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return ""


def _candidates(distribution: Distribution) -> list[Candidate]:
    try:
        points = [point for point in distribution.entry_points if point.group == GROUP]
    except Exception:  # a damaged file of a distribution that may have nothing to do with kd
        return []
    name, version = name_of(distribution), version_of(distribution)
    location = str(distribution.locate_file(""))
    return [Candidate(point.name, point.value, name, version, location) for point in points]
