"""Which package has which name, for names whose package is not installed: an index that docs/generate.py writes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdcore.plugins.records import normalised

if TYPE_CHECKING:
    from kdcore.plugins.roles import Role

FILE: Final = Path(__file__).with_name("known.json")


@cache
def index() -> dict[str, dict[str, str]]:
    """By role: the package of each name."""
    table: dict[str, dict[str, list[str]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        role: {name: package for package, names in packages.items() for name in names}
        for role, packages in table.items()
    }


def known_names(role: Role) -> dict[str, str]:
    """The package of each known name of a role."""
    return index().get(role.name, {})


def packages() -> frozenset[str]:
    """The packages in the index."""
    return frozenset(package for names in index().values() for package in names.values())


def is_known_package(name: str) -> bool:
    """Whether the index has a package of this name, compared as in PEP 503."""
    return normalised(name) in packages()
