"""Knowledge distillation for image classifiers: a thin core, every algorithm a plugin.

`import kdcore` imports nothing heavy: a name is imported when it is used first. So a plugin's declarations need no
torch. `docs/generate.py` writes `__init__.pyi`, which type checkers and editors read, and `docs/reference/api.md`.
"""

from __future__ import annotations

from typing import Any, Final

from kdcore.lazy_names import lazy_names

PUBLIC: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "users": {
        "kdcore.commands.doctor": ("doctor",),
        "kdcore.commands.list_models": ("list_models",),
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
        "kdcore.commands.show.show": ("show",),
        "kdcore.distill.adapted_model": ("AdaptedModel",),
        "kdcore.distill.distillation": ("Distillation",),
        "kdcore.inspect.open_run": ("open_run",),
        "kdcore.models.student": ("load_student",),
        "kdcore.run.fill_cache": ("cache_teacher",),
        "kdcore.run.run": ("run",),
        "kdcore.run.save_run": ("save_run",),
        "kdcore.rundir.directory": ("RunDirectory",),
        "kdcore.spec.models": ("RunSpec",),
        "kdcore.tasks": ("TaskLoss",),
        "kdcore.version": ("__version__",),
    },
    "authors of plugins": {
        "kdcore.description": ("ModelDescription",),
        "kdcore.entries": (
            "AdapterEntry",
            "CommandEntry",
            "DatasetEntry",
            "DistillerEntry",
            "ExporterEntry",
            "LauncherEntry",
            "MetricEntry",
            "ModelEntry",
            "Paper",
            "RecipeEntry",
            "SectionEntry",
            "Suits",
            "TransformEntry",
        ),
        "kdcore.exported_files": ("ExportedFiles",),
        "kdcore.features.timm": ("TimmAdapter",),
        "kdcore.hookspecs": ("hookimpl",),
        "kdcore.launching": ("JobEnd", "Launcher", "LaunchJob", "LaunchSetup"),
        "kdcore.options": ("DistillerOptions", "Options", "Schedule", "SpecFile", "SpecFolder"),
        "kdcore.protocols": (
            "Batch",
            "ChangesStudent",
            "ChecksTraining",
            "Distiller",
            "FeatureAdapter",
            "FeatureMap",
            "GivesMaps",
            "GivesTail",
            "ModelInfo",
            "ModelOutput",
            "PreparesFromTeacher",
            "PreparesModel",
            "Progress",
            "Requires",
            "Setup",
            "Stage",
            "StageInfo",
            "Transform",
            "Transformed",
            "TransformSetup",
        ),
        "kdcore.report_section": ("ReportSection",),
        "kdcore.stop_training": ("StopTraining",),
        "kdcore.version": ("PLUGIN_API",),
    },
    "results": {
        "kdcore.commands.doctor": ("DoctorReport",),
        "kdcore.commands.list_models": ("ListedModel",),
        "kdcore.commands.show.options": ("OptionInfo",),
        "kdcore.commands.show.show": ("Description",),
        "kdcore.data.inputs": ("InputConfig",),
        "kdcore.distill.distillation": ("DistillationOutput",),
        "kdcore.distill.teacher_passes": ("TeacherPasses",),
        "kdcore.inspect.image_predictor": ("ImagePredictor", "Outputs", "PredictedBatch"),
        "kdcore.inspect.images": ("EvaluationImages",),
        "kdcore.inspect.open_run": ("OpenedRun",),
        "kdcore.inspect.opened_model": ("OpenedModel",),
        "kdcore.inspect.predictions": ("Predictions",),
        "kdcore.inspect.students": ("OpenedStudent",),
        "kdcore.inspect.teachers": ("FoundTeacher",),
        "kdcore.models.student": ("LoadedStudent",),
        "kdcore.models.student_config": ("StudentConfig",),
        "kdcore.plugins.records": ("PluginInfo", "Provided"),
        "kdcore.run.fill_cache": ("CacheResult",),
        "kdcore.run.preflight": ("Preflight",),
        "kdcore.run.result": ("RunResult",),
        "kdcore.spec.members": ("Member",),
        "kdcore.spec.recipes": ("Recipe",),
        "kdcore.teacher_cache.listing": ("CacheCheck", "CacheInfo"),
    },
    "errors": {
        "kdcore.errors": ("Interrupted", "KdError", "Problem", "RunFailed", "UserError"),
    },
}
"""Every public name: for whom it is, the module that has it, the name."""

_own, __dir__, __all__ = lazy_names(globals(), *PUBLIC.values())


def __getattr__(name: str) -> Any:
    try:
        return _own(name)
    except AttributeError:
        if name.startswith("_"):
            raise
        from importlib.metadata import entry_points

        # a function that belongs to a command of a package, such as `compare`
        for point in entry_points(group="kdcore.functions", name=name):
            return globals().setdefault(name, point.load())
        raise
