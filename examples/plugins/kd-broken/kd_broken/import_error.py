"""Importing it fails."""

from __future__ import annotations


def _settings() -> dict[str, str]:
    return {}


DEFAULT = _settings()["default"]
