"""The losses as their authors compute them: a module per family, each with a table `LOSSES`."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.formulations.loss import Loss

_FAMILIES: Final = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name != "loss")
LOSSES: Final[dict[str, Loss]] = {
    name: loss for family in _FAMILIES for name, loss in import_module(f"{__name__}.{family}").LOSSES.items()
}
