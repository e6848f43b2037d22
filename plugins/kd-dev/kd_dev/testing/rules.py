"""All rules, by the kind of their subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing import adapters, datasets, distillers, plugin

if TYPE_CHECKING:
    from kd_dev.testing.check import Kind, Rule

RULES: Final[dict[Kind, tuple[Rule[Any], ...]]] = {
    "distiller": distillers.RULES,
    "adapter": adapters.RULES,
    "dataset": datasets.RULES,
    "plugin": plugin.RULES,
}
