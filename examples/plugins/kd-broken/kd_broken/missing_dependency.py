"""It imports what is not installed, and what its distribution does not declare."""

from __future__ import annotations

import kd_broken_needs_this  # type: ignore[import-not-found]  # noqa: F401

PLUGIN_API = 1
