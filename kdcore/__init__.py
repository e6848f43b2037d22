"""Knowledge distillation for image classifiers: a thin core, every algorithm a plugin.

Nothing heavy is imported until a name is used: `import kdcore` and a plugin's declarations need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from kdcore.version import PLUGIN_API, __version__

if TYPE_CHECKING:
    from kdcore.commands.compare.compare import compare
    from kdcore.commands.compare.result import ComparisonResult
    from kdcore.commands.doctor import DoctorReport, doctor
    from kdcore.commands.eval.evaluate import evaluate
    from kdcore.commands.eval.result import EvalResult, ModelScores
    from kdcore.commands.eval.speed import Speed
    from kdcore.commands.export.export import ExportResult, export
    from kdcore.commands.export.push import PushResult, push
    from kdcore.commands.init.files import InitResult
    from kdcore.commands.init.init import init
    from kdcore.commands.lists import (
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
    from kdcore.commands.new_plugin import NewPlugin, new_plugin
    from kdcore.commands.report.report import report
    from kdcore.commands.report.result import ReportResult
    from kdcore.commands.show.options import OptionInfo
    from kdcore.commands.show.show import Description, show
    from kdcore.distill.distillation import Distillation, DistillationOutput
    from kdcore.entries import AdapterEntry, DatasetEntry, DistillerEntry, ModelEntry, Paper
    from kdcore.errors import Interrupted, KdError, Problem, RunFailed, UserError
    from kdcore.features.timm import TimmAdapter
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
    from kdcore.run.fill_cache import CacheResult, cache_teacher
    from kdcore.run.preflight import Preflight
    from kdcore.run.result import RunResult
    from kdcore.run.run import run
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.models import RunSpec
    from kdcore.teacher_cache.listing import CacheCheck, CacheInfo


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
    "kdcore.rundir.directory": ("RunDirectory",),
    "kdcore.spec.models": ("RunSpec",),
    "kdcore.commands.lists": (
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
    "kdcore.commands.init.init": ("init",),
    "kdcore.commands.init.files": ("InitResult",),
    "kdcore.commands.doctor": ("DoctorReport", "doctor"),
    "kdcore.commands.new_plugin": ("NewPlugin", "new_plugin"),
    "kdcore.commands.show.show": ("Description", "show"),
    "kdcore.commands.show.options": ("OptionInfo",),
    "kdcore.teacher_cache.listing": ("CacheCheck", "CacheInfo"),
    "kdcore.run.fill_cache": ("CacheResult", "cache_teacher"),
    "kdcore.run.preflight": ("Preflight",),
    "kdcore.distill.distillation": ("Distillation", "DistillationOutput"),
    "kdcore.run.result": ("RunResult",),
    "kdcore.run.run": ("run",),
    "kdcore.commands.compare.compare": ("compare",),
    "kdcore.commands.compare.result": ("ComparisonResult",),
    "kdcore.commands.eval.evaluate": ("evaluate",),
    "kdcore.commands.eval.result": ("EvalResult", "ModelScores"),
    "kdcore.commands.eval.speed": ("Speed",),
    "kdcore.commands.export.export": ("ExportResult", "export"),
    "kdcore.commands.export.push": ("PushResult", "push"),
    "kdcore.commands.report.report": ("report",),
    "kdcore.commands.report.result": ("ReportResult",),
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
    # importing `kdcore.run.run` made the package `kdcore.run` an attribute: it is callable, and stays
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
