"""Knowledge distillation for image classifiers: a thin core, every algorithm a plugin.

Nothing heavy is imported until a name is used: `import kdcore` and a plugin's declarations need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kdcore.comparison.api import compare
    from kdcore.comparison.result import ComparisonResult
    from kdcore.drafting.api import init
    from kdcore.drafting.files import InitResult
    from kdcore.engine.api import RunResult, run
    from kdcore.engine.distillation import Distillation, DistillationOutput
    from kdcore.engine.fill_cache import CacheResult, cache_teacher
    from kdcore.engine.preflight import Preflight
    from kdcore.entries import AdapterEntry, DatasetEntry, DistillerEntry, ModelEntry, Paper
    from kdcore.errors import Interrupted, KdError, Problem, RunFailed, UserError
    from kdcore.evaluation.api import evaluate
    from kdcore.evaluation.result import EvalResult, ModelScores
    from kdcore.evaluation.speed import Speed
    from kdcore.examination import DoctorReport, doctor
    from kdcore.exporting.api import ExportResult, export
    from kdcore.exporting.push import PushResult, push
    from kdcore.features.timm import TimmAdapter
    from kdcore.functions import (
        check_cache,
        list_adapters,
        list_caches,
        list_datasets,
        list_distillers,
        list_plugins,
        list_recipes,
        remove_cache,
        schema,
        show_cache,
        validate,
    )
    from kdcore.hookspecs import hookimpl
    from kdcore.options import DistillerOptions, Options
    from kdcore.protocols import (
        Batch,
        Distiller,
        FeatureAdapter,
        FeatureMap,
        ModelInfo,
        ModelOutput,
        Progress,
        Requires,
        Setup,
        Stage,
        StageInfo,
    )
    from kdcore.results.report.api import ReportResult, report
    from kdcore.results.rundir import RunDirectory
    from kdcore.scaffold import NewPlugin, new_plugin
    from kdcore.showing.api import Description, show
    from kdcore.showing.options import OptionInfo
    from kdcore.spec.models import RunSpec
    from kdcore.teacher_cache.listing import CacheCheck, CacheInfo

__version__: Final = "0.1.0"
PLUGIN_API: Final = 1

_HOMES: Final = {
    "kdcore.entries": ("AdapterEntry", "DatasetEntry", "DistillerEntry", "ModelEntry", "Paper"),
    "kdcore.errors": ("Interrupted", "KdError", "Problem", "RunFailed", "UserError"),
    "kdcore.features.timm": ("TimmAdapter",),
    "kdcore.hookspecs": ("hookimpl",),
    "kdcore.options": ("DistillerOptions", "Options"),
    "kdcore.protocols": (
        "Batch",
        "Distiller",
        "FeatureAdapter",
        "FeatureMap",
        "ModelInfo",
        "ModelOutput",
        "Progress",
        "Requires",
        "Setup",
        "Stage",
        "StageInfo",
    ),
    "kdcore.results.rundir": ("RunDirectory",),
    "kdcore.spec.models": ("RunSpec",),
    "kdcore.functions": (
        "check_cache",
        "list_adapters",
        "list_caches",
        "list_datasets",
        "list_distillers",
        "list_plugins",
        "list_recipes",
        "remove_cache",
        "schema",
        "show_cache",
        "validate",
    ),
    "kdcore.drafting.api": ("init",),
    "kdcore.drafting.files": ("InitResult",),
    "kdcore.examination": ("DoctorReport", "doctor"),
    "kdcore.scaffold": ("NewPlugin", "new_plugin"),
    "kdcore.showing.api": ("Description", "show"),
    "kdcore.showing.options": ("OptionInfo",),
    "kdcore.teacher_cache.listing": ("CacheCheck", "CacheInfo"),
    "kdcore.engine.fill_cache": ("CacheResult", "cache_teacher"),
    "kdcore.engine.preflight": ("Preflight",),
    "kdcore.engine.distillation": ("Distillation", "DistillationOutput"),
    "kdcore.engine.api": ("RunResult", "run"),
    "kdcore.comparison.api": ("compare",),
    "kdcore.comparison.result": ("ComparisonResult",),
    "kdcore.evaluation.api": ("evaluate",),
    "kdcore.evaluation.result": ("EvalResult", "ModelScores"),
    "kdcore.evaluation.speed": ("Speed",),
    "kdcore.exporting.api": ("ExportResult", "export"),
    "kdcore.exporting.push": ("PushResult", "push"),
    "kdcore.results.report.api": ("ReportResult", "report"),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "PLUGIN_API",
    "AdapterEntry",
    "Batch",
    "CacheCheck",
    "CacheInfo",
    "CacheResult",
    "ComparisonResult",
    "DatasetEntry",
    "Description",
    "Distillation",
    "DistillationOutput",
    "Distiller",
    "DistillerEntry",
    "DistillerOptions",
    "DoctorReport",
    "EvalResult",
    "ExportResult",
    "FeatureAdapter",
    "FeatureMap",
    "InitResult",
    "Interrupted",
    "KdError",
    "ModelEntry",
    "ModelInfo",
    "ModelOutput",
    "ModelScores",
    "NewPlugin",
    "OptionInfo",
    "Options",
    "Paper",
    "Preflight",
    "Problem",
    "Progress",
    "PushResult",
    "ReportResult",
    "Requires",
    "RunDirectory",
    "RunFailed",
    "RunResult",
    "RunSpec",
    "Setup",
    "Speed",
    "Stage",
    "StageInfo",
    "TimmAdapter",
    "UserError",
    "__version__",
    "cache_teacher",
    "check_cache",
    "compare",
    "doctor",
    "evaluate",
    "export",
    "hookimpl",
    "init",
    "list_adapters",
    "list_caches",
    "list_datasets",
    "list_distillers",
    "list_plugins",
    "list_recipes",
    "new_plugin",
    "push",
    "remove_cache",
    "report",
    "run",
    "schema",
    "show",
    "show_cache",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kdcore' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
