# Written by `uv run python docs/generate.py`. Do not edit.

from typing import Final

from kdcore.commands.doctor import DoctorReport, doctor
from kdcore.commands.list_models import ListedModel, list_models
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
from kdcore.commands.show.options import OptionInfo
from kdcore.commands.show.show import Description, show
from kdcore.data.inputs import InputConfig
from kdcore.description import ModelDescription
from kdcore.distill.adapted_model import AdaptedModel
from kdcore.distill.distillation import Distillation, DistillationOutput
from kdcore.distill.teacher_passes import TeacherPasses
from kdcore.entries import (
    AdapterEntry,
    CommandEntry,
    DatasetEntry,
    DistillerEntry,
    ExporterEntry,
    LauncherEntry,
    MetricEntry,
    ModelEntry,
    Paper,
    RecipeEntry,
    SectionEntry,
    Suits,
    TransformEntry,
)
from kdcore.errors import Interrupted, KdError, Problem, RunFailed, UserError
from kdcore.exported_files import ExportedFiles
from kdcore.features.timm import TimmAdapter
from kdcore.hookspecs import hookimpl
from kdcore.inspect.image_predictor import ImagePredictor, Outputs, PredictedBatch
from kdcore.inspect.images import EvaluationImages
from kdcore.inspect.open_run import OpenedRun, open_run
from kdcore.inspect.opened_model import OpenedModel
from kdcore.inspect.predictions import Predictions
from kdcore.inspect.students import OpenedStudent
from kdcore.inspect.teachers import FoundTeacher
from kdcore.launching import JobEnd, Launcher, LaunchJob, LaunchSetup
from kdcore.models.student import LoadedStudent, load_student
from kdcore.models.student_config import StudentConfig
from kdcore.options import DistillerOptions, Options, Schedule, SpecFile, SpecFolder
from kdcore.plugins.records import PluginInfo, Provided
from kdcore.protocols import (
    Batch,
    ChangesStudent,
    ChecksTraining,
    Distiller,
    FeatureAdapter,
    FeatureMap,
    GivesMaps,
    GivesTail,
    ModelInfo,
    ModelOutput,
    PreparesFromTeacher,
    PreparesModel,
    Progress,
    Requires,
    Setup,
    Stage,
    StageInfo,
    Transform,
    Transformed,
    TransformSetup,
)
from kdcore.report_section import ReportSection
from kdcore.run.fill_cache import CacheResult, cache_teacher
from kdcore.run.preflight import Preflight
from kdcore.run.result import RunResult
from kdcore.run.run import run
from kdcore.run.save_run import save_run
from kdcore.rundir.directory import RunDirectory
from kdcore.spec.members import Member
from kdcore.spec.models import RunSpec
from kdcore.spec.recipes import Recipe
from kdcore.stop_training import StopTraining
from kdcore.tasks import TaskLoss
from kdcore.teacher_cache.listing import CacheCheck, CacheInfo
from kdcore.version import PLUGIN_API, __version__

PUBLIC: Final[dict[str, dict[str, tuple[str, ...]]]]

__all__ = [
    "PLUGIN_API",
    "AdaptedModel",
    "AdapterEntry",
    "Batch",
    "CacheCheck",
    "CacheInfo",
    "CacheResult",
    "ChangesStudent",
    "ChecksTraining",
    "CommandEntry",
    "DatasetEntry",
    "Description",
    "Distillation",
    "DistillationOutput",
    "Distiller",
    "DistillerEntry",
    "DistillerOptions",
    "DoctorReport",
    "EvaluationImages",
    "ExportedFiles",
    "ExporterEntry",
    "FeatureAdapter",
    "FeatureMap",
    "FoundTeacher",
    "GivesMaps",
    "GivesTail",
    "ImagePredictor",
    "InputConfig",
    "Interrupted",
    "JobEnd",
    "KdError",
    "LaunchJob",
    "LaunchSetup",
    "Launcher",
    "LauncherEntry",
    "ListedModel",
    "LoadedStudent",
    "Member",
    "MetricEntry",
    "ModelDescription",
    "ModelEntry",
    "ModelInfo",
    "ModelOutput",
    "OpenedModel",
    "OpenedRun",
    "OpenedStudent",
    "OptionInfo",
    "Options",
    "Outputs",
    "Paper",
    "PluginInfo",
    "PredictedBatch",
    "Predictions",
    "Preflight",
    "PreparesFromTeacher",
    "PreparesModel",
    "Problem",
    "Progress",
    "Provided",
    "Recipe",
    "RecipeEntry",
    "ReportSection",
    "Requires",
    "RunDirectory",
    "RunFailed",
    "RunResult",
    "RunSpec",
    "Schedule",
    "SectionEntry",
    "Setup",
    "SpecFile",
    "SpecFolder",
    "Stage",
    "StageInfo",
    "StopTraining",
    "StudentConfig",
    "Suits",
    "TaskLoss",
    "TeacherPasses",
    "TimmAdapter",
    "Transform",
    "TransformEntry",
    "TransformSetup",
    "Transformed",
    "UserError",
    "__version__",
    "cache_teacher",
    "check_cache",
    "doctor",
    "hookimpl",
    "list_adapters",
    "list_caches",
    "list_datasets",
    "list_distillers",
    "list_models",
    "list_plugins",
    "list_recipes",
    "load_student",
    "open_run",
    "remove_cache",
    "run",
    "save_run",
    "schema",
    "show",
    "show_cache",
    "validate",
]
