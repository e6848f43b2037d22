"""Every distiller that is installed, in a real run: a tensor on the wrong device ends it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from benchmarks.gpu import marked

if TYPE_CHECKING:
    from benchmarks.gpu.parts import Items


def items(small: bool) -> Items:
    """A test for each distiller."""
    found = marked.tests([marked.ROOT / "tests" / "test_every_method.py"], small)
    return dict(islice(found.items(), 2)) if small else found
