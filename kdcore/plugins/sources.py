"""How an installer finds a package: by its name in an index, or where kd itself was installed from.

kd's own packages are released together. So where kdcore came from, the others are: in the folder of its wheel, in
`plugins/` of its source folder, in the same commit of its repository.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from kdcore.plugins.direct_url import DirectUrl, direct_url
from kdcore.plugins.known import packages
from kdcore.plugins.records import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CORE: Final = "kdcore"
EVERYTHING: Final = "kd-all"
"""The package that needs all others."""
NEEDS: Final = {"kd-compare": ("kd-report",)}
"""The packages of kd, apart from kdcore, that others need."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an installer has to install.

    Attributes:
        requirements: as pip takes them: names, requirements, files, folders, URLs.
        editable: folders to install as editable.
        find_links: folders with wheels.
    """

    requirements: tuple[str, ...] = ()
    editable: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()

    def __add__(self, other: Wanted) -> Wanted:
        return Wanted(
            _once(self.requirements + other.requirements),
            _once(self.editable + other.editable),
            _once(self.find_links + other.find_links),
        )


def located(requirements: Iterable[str]) -> Wanted:
    """Requirements in a form that an installer finds from here."""
    found = Wanted()
    for text in requirements:
        for part in _located(text):
            found += part
    return found


def edited(folder: str) -> Wanted:
    """A folder to install as editable, with the packages of kd that it needs; it may end with extras in brackets."""
    return Wanted(editable=(folder,)) + located(_missing(folder))


def source(name: str, *, newest: bool = False) -> Wanted:
    """An installed distribution, from where it was installed: the same version, or the newest one."""
    found = direct_url(name)
    if found is None or (found.kind == "archive" and newest):
        return located([name])
    if found.kind == "git":
        return Wanted((_in_repository(name, found, found.subdirectory, "" if newest else found.commit),))
    if found.path is None:
        return Wanted((f"{name} @ {found.url}",))
    if not found.path.exists():
        return located([name])
    return _folder(
        found.path, "", editable=found.editable
    )  # or the wheel: its folder may have several versions


def _located(text: str) -> Iterator[Wanted]:
    try:
        wanted = Requirement(text)
    except InvalidRequirement:  # a folder or a file
        yield Wanted((text,))
        yield located(_missing(text))
        return
    name = normalised(wanted.name)
    ours = wanted.url is None and name in (CORE, EVERYTHING, *packages())
    needed = [part for extra in sorted(wanted.extras) for part in _extra(name, extra)] if ours else []
    if needed:  # it is installed, and it may be on no index
        yield located(needed)
        return
    origin = _origin() if ours else None
    if origin is None:
        yield Wanted((text,))
        return
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    yield _beside(origin, name, extras, text) or Wanted((text,))
    if origin.kind != "archive" or origin.path is None:  # an index does not have what it needs
        needs = sorted(packages()) if name == EVERYTHING else NEEDS.get(name, ())
        yield located(part for part in needs if not _installed(part))


def wheel_folder() -> tuple[str, ...]:
    """The folder with the wheel from which kd was installed, if there is one."""
    origin = _origin()
    if origin is None or origin.kind != "archive" or origin.path is None:
        return ()
    folder = origin.path.parent
    return (str(folder),) if folder.is_dir() else ()


def _origin() -> DirectUrl | None:
    found = direct_url(CORE)
    if found is not None:
        return found
    # `pip install kd_all-0.1.0-py3-none-any.whl --find-links .` notes the folder only for the wheel
    others = (direct_url(name) for name in (EVERYTHING, *sorted(packages())))
    return next((url for url in others if url is not None and url.kind == "archive"), None)


def _beside(origin: DirectUrl, name: str, extras: str, text: str) -> Wanted | None:
    """One of kd's packages, from where kdcore came from; None if it is not there."""
    below = "" if name == CORE else f"plugins/{name}"
    if origin.kind == "git":
        return Wanted((_in_repository(f"{name}{extras}", origin, below, origin.commit),))
    if origin.kind == "folder":
        folder = origin.path / below if origin.path is not None else None
        found = folder is not None and (folder / "pyproject.toml").is_file()
        return _folder(folder, extras, editable=origin.editable) if folder is not None and found else None
    if origin.path is not None:
        files = list(origin.path.parent.glob(f"{name.replace('-', '_')}-*"))
        return Wanted((text,), find_links=(str(origin.path.parent),)) if files else None
    file = urlsplit(origin.url).path.rpartition("/")[2]
    if file.endswith(".whl"):  # kdcore-0.1.0-py3-none-any.whl
        other = "-".join([name.replace("-", "_"), *file.split("-")[1:]])
        return Wanted((f"{name}{extras} @ {origin.url.replace(file, other)}",))
    below = f"#subdirectory={below}" if below else ""
    return Wanted((f"{name}{extras} @ {origin.url.partition('#')[0]}{below}",))


def _in_repository(name: str, origin: DirectUrl, below: str, commit: str) -> str:
    fragment = f"#subdirectory={below}" if below else ""
    url = f"git+{origin.url}{commit and f'@{commit}'}{fragment}"
    # pip before 24.1 refuses a name with a URL that has no host
    return url if origin.path is not None and "[" not in name else f"{name} @ {url}"


def _folder(folder: Path, extras: str, *, editable: bool) -> Wanted:
    text = f"{folder}{extras}"
    return Wanted(editable=(text,)) if editable else Wanted((text,))


def _missing(folder: str) -> list[str]:
    """The packages of kd that a source folder, with its extras, requires and that are not installed."""
    path, _, extras = folder.removesuffix("]").partition("[")
    try:
        with (Path(path) / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file)["project"]
        optional = project.get("optional-dependencies", {})
        texts = [*project.get("dependencies", ())]
        texts += [text for extra in extras.split(",") for text in optional.get(extra.strip(), ())]
        found = [Requirement(text) for text in texts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # the installer reports what is wrong
        return []
    return [str(item) for item in found if normalised(item.name) in packages() and not _installed(item.name)]


def _extra(name: str, extra: str) -> list[str]:
    """The requirements of an extra of an installed distribution."""
    try:
        texts = distribution(name).requires or []
    except (PackageNotFoundError, OSError):
        return []
    found = []
    for text in texts:
        requirement = Requirement(text)
        marker: Any = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": extra}):
            continue
        requirement.marker = None
        found.append(str(requirement))
    return found


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _once(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
