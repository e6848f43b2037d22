"""`kd compare`: several methods over several seeds, from the specs to the table.

`from kd_compare import compare` imports what it needs when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_compare.comparison import compare as compare
    from kd_compare.result import ComparisonResult as ComparisonResult
    from kd_compare.result import MethodRow as MethodRow
    from kd_compare.result import RunRow as RunRow
    from kd_compare.statistics import Gain as Gain
    from kd_compare.tuning.result import TrialRow as TrialRow
    from kd_compare.tuning.result import TuneResult as TuneResult
    from kd_compare.tuning.tune import tune as tune

_MODULES: Final = {
    "ComparisonResult": "kd_compare.result",
    "Gain": "kd_compare.statistics",
    "MethodRow": "kd_compare.result",
    "RunRow": "kd_compare.result",
    "TrialRow": "kd_compare.tuning.result",
    "TuneResult": "kd_compare.tuning.result",
    "compare": "kd_compare.comparison",
    "tune": "kd_compare.tuning.tune",
}
__all__ = ["ComparisonResult", "Gain", "MethodRow", "RunRow", "TrialRow", "TuneResult", "compare", "tune"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
