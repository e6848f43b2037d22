"""The tests with the marker `accelerator`, each an item; a skipped one says why."""

from __future__ import annotations

import contextlib
import gc
import io
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.gpu.parts import Items, Turn

ROOT = Path(__file__).resolve().parents[2]
# warnings of libraries on a new device are not errors; pytest's garbage collections take longer than most tests
OPTIONS = [
    "-p",
    "no:unraisableexception",
    "-m",
    "accelerator",
    "-q",
    "-W",
    "default",
    "-p",
    "no:cacheprovider",
    "--rootdir",
    str(ROOT),
]


class Seen:
    """A pytest plugin that keeps the tests' names and what became of them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.skipped: str | None = None
        self.failed: str | None = None

    def pytest_collection_finish(self, session: Any) -> None:
        """Which tests there are."""
        self.names = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Setup, call and end of a test."""
        if report.skipped:
            self.skipped = str(report.longrepr[2]).removeprefix("Skipped: ")
        if report.failed:
            self.failed = report.longreprtext


def tests(paths: Iterable[Path], small: bool) -> Items:
    """The marked tests of these files and folders, by their names."""
    if small:
        os.environ["KD_TEST_ACCELERATOR"] = "cpu"
    seen, said = _pytest(["--collect-only", *map(str, paths)])
    if not seen.names:
        raise RuntimeError(f"pytest found no marked test:\n{said}")
    return {name: partial(one, name) for name in seen.names}


def one(name: str, turn: Turn) -> dict[str, str]:
    """Run a test.

    Raises:
        RuntimeError: it failed.
    """
    seen, said = _pytest([str(ROOT / name)])
    if seen.failed is not None or not seen.names:
        raise RuntimeError(seen.failed or said)
    return {"outcome": "passed"} if seen.skipped is None else {"outcome": "skipped", "why": seen.skipped}


def _pytest(arguments: list[str]) -> tuple[Seen, str]:
    import pytest

    seen, said = Seen(), io.StringIO()
    gc.freeze()  # as `conftest.py` does, which gives everything back at the end
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        pytest.main([*OPTIONS, *arguments], plugins=[seen])
    return seen, said.getvalue()
