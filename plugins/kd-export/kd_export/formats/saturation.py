"""x86 CPUs that add two products of 8-bit integers in 16 bits, where large sums are cut off: VNNI has no such limit."""

from __future__ import annotations

from typing import Final

IMPORTS: Final = ("import platform",)
SATURATES: Final = """
facts = Path("/proc/cpuinfo")
x86 = facts.exists() and platform.machine() in ("x86_64", "AMD64")
saturates = x86 and "vnni" not in facts.read_text("utf-8", "replace")
"""
"""For `load.py`: whether this is such a CPU. Linux says it; elsewhere it is not known, and False."""
