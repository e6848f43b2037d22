from __future__ import annotations

from pathlib import Path

from kdcore.data.cache import cache_dir


def test_order_of_places(monkeypatch):
    monkeypatch.setenv("KD_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    monkeypatch.setenv("HOME", "/three")
    assert cache_dir() == Path("/one")
    monkeypatch.setenv("KD_CACHE", "~/one")
    assert cache_dir() == Path("/three/one")
    monkeypatch.delenv("KD_CACHE")
    assert cache_dir() == Path("/two/kd")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path("/three/.cache/kd")
