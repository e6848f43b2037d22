"""What has to be right before a speed means anything: the tests in `tests/accelerator`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.gpu import marked

if TYPE_CHECKING:
    from benchmarks.gpu.parts import Items


def items(small: bool) -> Items:
    """Each test."""
    return marked.tests([marked.ROOT / "tests" / "accelerator"], small)
