"""The version of the core and of what plugins rely on."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
PLUGIN_API: Final = 1
"""Rises when something that a plugin relies on changes. A plugin that says another number is reported as broken."""
