"""The conformance kit under its first name, for tests that were written before it had a package of its own.

Importing this module gives the module that an installed package declares in the entry-point group `kdcore.testing`.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from kdcore.plugins.pip_hint import pip_install

_kits = sorted(entry_points(group=__name__))
if not _kits:
    raise ImportError(
        f"the conformance kit is not installed; install it with: {pip_install('kd-dev')}", name=__name__
    )
sys.modules[__name__] = _kits[0].load()

if TYPE_CHECKING:  # type checkers do not follow the entry point

    def __getattr__(name: str) -> Any: ...
