"""Importing it fails, as if a library of the system were missing."""

from __future__ import annotations

raise ImportError("libtoolbox.so.1 cannot be opened")
