# Written by `uv run python docs/generate.py`. Do not edit.

from typing import Final

from kdcore.data import EvalData, Source, build_eval_data, open_split, resolve_input
from kdcore.data.image_files import images_below_folder
from kdcore.data.modes import eight_bits
from kdcore.data.special_targets import has_label
from kdcore.data.table import files_of_table
from kdcore.distill.build import build_distiller
from kdcore.distill.kept_graphs import kept_graph
from kdcore.distill.models import teacher_view
from kdcore.features import Extractor, find_adapter, model_info
from kdcore.inspect.encoder_measures import Embedded, EncoderEvaluation, measure_embeddings
from kdcore.inspect.exports import (
    EXPORT_ABOUT,
    EXPORT_SCRIPT,
    OpenedExport,
    import_export_script,
    is_export,
    open_export,
)
from kdcore.inspect.facts_of_data import DataFacts, SplitFacts, data_facts
from kdcore.inspect.images import evaluation_images
from kdcore.inspect.metrics import Metrics, load_metrics
from kdcore.inspect.names import SPEC_SUFFIXES, find_dataset, find_model
from kdcore.inspect.open_run import ENCODER, read_spec
from kdcore.inspect.pass_cost import Cost, cost
from kdcore.inspect.predictions import autocast, predict
from kdcore.inspect.run_path import find_run
from kdcore.inspect.run_students import RunStudent, open_run_student
from kdcore.inspect.scores import Scores, class_ranks, class_scores
from kdcore.inspect.several_labels import label_scores
from kdcore.inspect.student_facts import about_student
from kdcore.inspect.students import Which
from kdcore.inspect.views_of_samples import SampleViews, sample_views
from kdcore.models import BuiltModel, build_model, load_config, save_student
from kdcore.models.checkpoints import read_checkpoint
from kdcore.models.class_names import check_class_names, pretrained_names
from kdcore.models.model_call import find_model_call
from kdcore.models.parameters import count_parameters
from kdcore.run.caller_state import own_surroundings
from kdcore.run.existing import finished_run, spec_changes
from kdcore.rundir.statefile import read_state, write_state
from kdcore.rundir.summary import (
    CLASS_MEASURES,
    ENCODER_MEASURES,
    MAIN_MEASURES,
    has_several_labels,
    is_percent,
    main_measure,
    measure_label,
    teachers_of,
)
from kdcore.spec.datasets import TABLES
from kdcore.spec.difference import same_results
from kdcore.spec.load import LoadedSpec, below_of, load_spec, resolved_dict
from kdcore.spec.models import DataSpec, ModelSource, ModelSpec
from kdcore.spec.recipes import distiller_part, find_recipe, paper_settings
from kdcore.spec.resolve import default_arguments, resolve_distiller, resolve_options, validated
from kdcore.spec.values import read_values

NAMES: Final[dict[str, tuple[str, ...]]]

__all__ = [
    "CLASS_MEASURES",
    "ENCODER",
    "ENCODER_MEASURES",
    "EXPORT_ABOUT",
    "EXPORT_SCRIPT",
    "MAIN_MEASURES",
    "SPEC_SUFFIXES",
    "TABLES",
    "BuiltModel",
    "Cost",
    "DataFacts",
    "DataSpec",
    "Embedded",
    "EncoderEvaluation",
    "EvalData",
    "Extractor",
    "LoadedSpec",
    "Metrics",
    "ModelSource",
    "ModelSpec",
    "OpenedExport",
    "RunStudent",
    "SampleViews",
    "Scores",
    "Source",
    "SplitFacts",
    "Which",
    "about_student",
    "autocast",
    "below_of",
    "build_distiller",
    "build_eval_data",
    "build_model",
    "check_class_names",
    "class_ranks",
    "class_scores",
    "cost",
    "count_parameters",
    "data_facts",
    "default_arguments",
    "distiller_part",
    "eight_bits",
    "evaluation_images",
    "files_of_table",
    "find_adapter",
    "find_dataset",
    "find_model",
    "find_model_call",
    "find_recipe",
    "find_run",
    "finished_run",
    "has_label",
    "has_several_labels",
    "images_below_folder",
    "import_export_script",
    "is_export",
    "is_percent",
    "kept_graph",
    "label_scores",
    "load_config",
    "load_metrics",
    "load_spec",
    "main_measure",
    "measure_embeddings",
    "measure_label",
    "model_info",
    "open_export",
    "open_run_student",
    "open_split",
    "own_surroundings",
    "paper_settings",
    "predict",
    "pretrained_names",
    "read_checkpoint",
    "read_spec",
    "read_state",
    "read_values",
    "resolve_distiller",
    "resolve_input",
    "resolve_options",
    "resolved_dict",
    "same_results",
    "sample_views",
    "save_student",
    "spec_changes",
    "teacher_view",
    "teachers_of",
    "validated",
    "write_state",
]
