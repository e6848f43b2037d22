"""Problems of a plugin's installation, found in its metadata. Imports no plugin."""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement

from kdcore.plugins.direct_url import editable_folder
from kdcore.plugins.find import GROUP, version_of
from kdcore.plugins.pip_hint import pip_editable, pip_install, pip_uninstall
from kdcore.plugins.records import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def conflicts(name: str, known_missing: Iterable[str] = ()) -> Iterator[str]:
    """One message for each requirement of a distribution that the environment does not meet.

    Extras are left out, and so are the names in `known_missing`.
    """
    told = {normalised(missing) for missing in known_missing}
    for text in _requires(name):
        try:
            needed = Requirement(text)
        except InvalidRequirement:
            yield f"{name} requires {text!r}, which is not a valid requirement"
            continue
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        wanted = f"{needed.name}{needed.specifier}"
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            if normalised(needed.name) not in told:
                yield f"{_label(name)} requires {wanted}, which is not installed: {pip_install(wanted)}"
            continue
        if not needed.specifier.contains(found, prereleases=True):
            yield f"{_label(name)} requires {wanted}, but {found} is installed: {pip_install(wanted)}"


def stale(name: str) -> str | None:
    """The difference between an editable installation and its source folder; None if there is none.

    Python runs the code in the folder, while name, version, requirements and entry points are those of the time of
    the installation.
    """
    folder = editable_folder(name)
    if folder is None:
        return None
    if not folder.is_dir():
        gone = pip_uninstall(name)
        return f"{_label(name)} is an editable installation of {folder}, which does not exist: {gone}"
    differences = list(_differences(distribution(name), _project(folder)))
    if not differences:
        return None
    return (
        f"{_label(name)} is an editable installation of {folder}, whose pyproject.toml has changed since "
        f"({'; '.join(differences)}): {pip_editable(str(folder))}"
    )


def _differences(installed: Distribution, project: dict[str, Any]) -> Iterator[str]:
    now, then = project.get("version"), version_of(installed)
    if isinstance(now, str) and now != then:  # a version that is not text comes from the build backend
        yield f"its version is {now}, but {then} is installed"
    wanted = project.get("entry-points", {}).get(GROUP) if "entry-points" not in _dynamic(project) else None
    if isinstance(wanted, dict):
        points = {point.name: point.value for point in installed.entry_points if point.group == GROUP}
        if points != wanted:
            yield f"its entry points are {_shown(wanted)}, but the installed ones are {_shown(points)}"
    needed = project.get("dependencies") if "dependencies" not in _dynamic(project) else None
    if isinstance(needed, list):
        new = _parsed(needed) - _parsed(text for text in _requires(installed.name) if "extra ==" not in text)
        if new:
            yield f"it now requires {', '.join(sorted(new))}"


def _parsed(requirements: Iterable[Any]) -> set[str]:
    """Requirements in one spelling: build backends write them differently."""
    found = set()
    for text in requirements:
        try:
            one = Requirement(text)
        except (InvalidRequirement, TypeError):
            continue
        one.name = normalised(one.name)
        found.add(str(one))
    return found


def _project(folder: Path) -> dict[str, Any]:
    try:
        with (folder / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file).get("project", {})
    except (OSError, ValueError):
        return {}
    return project if isinstance(project, dict) else {}


def _dynamic(project: dict[str, Any]) -> tuple[str, ...]:
    found = project.get("dynamic", ())
    return tuple(found) if isinstance(found, list) else ()


def _requires(name: str) -> list[str]:
    try:
        return distribution(name).requires or []
    except Exception:  # not installed, or its METADATA is missing or damaged: another problem reports that
        return []


def _label(name: str) -> str:
    try:
        return f"{name} {version_of(distribution(name))}"
    except PackageNotFoundError:
        return name


def _shown(points: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sorted(points.items())) or "none"
