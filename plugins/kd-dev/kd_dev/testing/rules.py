"""All rules, by the kind of their subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing import (
    adapters,
    commands,
    datasets,
    distillers,
    exporters,
    launchers,
    metrics,
    plugin,
    recipes,
    run_hooks,
    sections,
    transforms,
)

if TYPE_CHECKING:
    from kd_dev.testing.check import Kind, Rule

RULES: Final[dict[Kind, tuple[Rule[Any], ...]]] = {
    "distiller": distillers.RULES,
    "adapter": adapters.RULES,
    "dataset": datasets.RULES,
    "transform": transforms.RULES,
    "command": commands.RULES,
    "recipe": recipes.RULES,
    "exporter": exporters.RULES,
    "metric": metrics.RULES,
    "report section": sections.RULES,
    "launcher": launchers.RULES,
    "run hook": run_hooks.RULES,
    "plugin": plugin.RULES,
}
