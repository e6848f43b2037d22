"""The plugin in `site`, installed; and what checks say of a subject."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import SkipTest

import pytest
from kd_dev.testing import Check, ConformanceError

from kdcore.plugins import get_plugins

SITE = Path(__file__).parent / "site"


def install(folder: Path, name: str, module: str, requires: str | None = "kdcore>=0.1,<2") -> None:
    """What an installer writes beside the modules."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    needed = f"Requires-Dist: {requires}\n" if requires else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}")
    (info / "entry_points.txt").write_text(f"[kdcore]\n{name} = {module}\n")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """The plugin `kd-broken`, installed; imports its modules."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "kd-broken", "kd_broken.plugin")
    with pytest.MonkeyPatch.context() as patch:
        for place in (folder, SITE):
            patch.syspath_prepend(str(place))
        get_plugins.cache_clear()
        yield lambda name: importlib.import_module(f"kd_broken.{name}")
    get_plugins.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "kd_broken"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def look() -> Callable[[Sequence[Check]], SimpleNamespace]:
    """Calls checks; gives the ids of those that passed, and the messages of those that were skipped or failed."""

    def call(checks: Sequence[Check]) -> SimpleNamespace:
        found = SimpleNamespace(passed=set(), skipped={}, failed={})
        for check in checks:
            try:
                check()
            except SkipTest as reason:
                found.skipped[check.id] = str(reason)
            except ConformanceError as error:
                found.failed[check.id] = str(error)
            else:
                found.passed.add(check.id)
        return found

    return call
