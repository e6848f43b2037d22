"""The metrics of plugins that an evaluation computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import UserError
from kdcore.inspect import load_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kdcore.inspect import Metrics
    from kdcore.plugin import Plugins


def usable_metrics(names: Sequence[str] | None, plugins: Plugins, warn: Callable[[str], None]) -> Metrics:
    """The metrics that a run's spec names; without such names, those of all installed plugins.

    One that cannot be used, such as that of a plugin that is not installed here, is left out with a warning.
    """
    if names is None:
        return load_metrics(None, plugins, warn)
    usable = []
    for name in names:
        try:
            load_metrics([name], plugins, warn)
        except UserError as error:
            for problem in error.problems:
                warn(f"metric '{name}' of the run is left out: {problem.message}")
            continue
        usable.append(name)
    return load_metrics(usable, plugins, warn)
