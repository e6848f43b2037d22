from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from kdcore.plugins.code import code_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some_digest_package"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "loss.py").write_text("WEIGHT = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def _digest() -> str | None:
    code_digest.cache_clear()
    return code_digest("some_digest_package.plugin:plugin")


def test_the_digest_is_of_the_whole_package(package: Path):
    first = _digest()
    assert first is not None
    assert _digest() == first
    (package / "notes.txt").write_text("no code")
    assert _digest() == first
    (package / "inner" / "loss.py").write_text("WEIGHT = 2\n")
    edited = _digest()
    assert edited != first
    (package / "inner" / "loss.py").rename(package / "inner" / "losses.py")
    assert _digest() not in (first, edited)


def test_a_module_and_a_package_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "single_digest_module.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    code_digest.cache_clear()
    assert code_digest("single_digest_module") is not None
    assert code_digest("no_such_package_anywhere:x") is None


def test_bytecode_does_not_count(package: Path):
    first = _digest()
    cache = package / "__pycache__"
    cache.mkdir()
    shutil.copy(package / "__init__.py", cache / f"x.{sys.implementation.cache_tag}.pyc")
    assert _digest() == first
