"""kd-all brings every plugin, and kdcore's extra `all` is the same."""

from __future__ import annotations

from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement

from kdcore.plugin import get_plugins, normalised


def named(requirements: list[str]) -> set[tuple[str, frozenset[str], str]]:
    found = (Requirement(text) for text in requirements)
    return {(normalised(item.name), frozenset(item.extras), str(item.specifier)) for item in found}


def extra(name: str) -> list[str]:
    return [text for text in requires("kdcore") or [] if f"extra == '{name}'" in text.replace('"', "'")]


NEEDED = sorted(name for name, _, _ in named(requires("kd-all") or []))


@pytest.mark.parametrize("name", NEEDED)
def test_every_package_is_a_plugin_that_works(name: str):
    (info,) = [info for info in get_plugins().infos if info.distribution == name]
    assert info.status == "loaded"


def test_the_extra_of_kdcore_is_the_same():
    mine = {item for item in named(requires("kd-all") or []) if item[0] != "kdcore"}
    assert named(extra("all")) == mine
    (core,) = [Requirement(text) for text in requires("kd-all") or [] if text.startswith("kdcore")]
    assert core.extras == {"digits"}
