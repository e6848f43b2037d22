"""Runs from outside: specs, a finished run opened again, its models, data, predictions and measures.

For plugins that look at runs or start them. Most names import torch when they are first used. `docs/generate.py`
writes `__init__.pyi`, which type checkers and editors read.
"""

from __future__ import annotations

from typing import Final

from kdcore.lazy_names import lazy_names

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "kdcore.data": ("EvalData", "Source", "build_eval_data", "open_split", "resolve_input"),
    "kdcore.data.image_files": ("images_below_folder",),
    "kdcore.data.modes": ("eight_bits",),
    "kdcore.data.special_targets": ("has_label",),
    "kdcore.data.table": ("files_of_table",),
    "kdcore.distill.build": ("build_distiller",),
    "kdcore.distill.kept_graphs": ("kept_graph",),
    "kdcore.distill.models": ("teacher_view",),
    "kdcore.features": ("Extractor", "find_adapter", "model_info"),
    "kdcore.inspect.facts_of_data": ("DataFacts", "SplitFacts", "data_facts"),
    "kdcore.inspect.encoder_measures": ("Embedded", "EncoderEvaluation", "measure_embeddings"),
    "kdcore.inspect.exports": (
        "EXPORT_ABOUT",
        "EXPORT_SCRIPT",
        "OpenedExport",
        "import_export_script",
        "is_export",
        "open_export",
    ),
    "kdcore.inspect.images": ("evaluation_images",),
    "kdcore.inspect.several_labels": ("label_scores",),
    "kdcore.inspect.metrics": ("Metrics", "load_metrics"),
    "kdcore.inspect.pass_cost": ("Cost", "cost"),
    "kdcore.inspect.names": ("SPEC_SUFFIXES", "find_dataset", "find_model"),
    "kdcore.inspect.open_run": ("ENCODER", "read_spec"),
    "kdcore.inspect.predictions": ("autocast", "predict"),
    "kdcore.inspect.run_path": ("find_run",),
    "kdcore.inspect.scores": ("Scores", "class_ranks", "class_scores"),
    "kdcore.inspect.run_students": ("RunStudent", "open_run_student"),
    "kdcore.inspect.student_facts": ("about_student",),
    "kdcore.inspect.students": ("Which",),
    "kdcore.inspect.views_of_samples": ("SampleViews", "sample_views"),
    "kdcore.models": ("BuiltModel", "build_model", "load_config", "save_student"),
    "kdcore.models.checkpoints": ("read_checkpoint",),
    "kdcore.models.class_names": ("check_class_names", "pretrained_names"),
    "kdcore.models.parameters": ("count_parameters",),
    "kdcore.models.model_call": ("find_model_call",),
    "kdcore.run.caller_state": ("own_surroundings",),
    "kdcore.run.existing": ("finished_run", "spec_changes"),
    "kdcore.rundir.statefile": ("read_state", "write_state"),
    "kdcore.rundir.summary": (
        "CLASS_MEASURES",
        "ENCODER_MEASURES",
        "MAIN_MEASURES",
        "is_percent",
        "main_measure",
        "measure_label",
        "has_several_labels",
        "teachers_of",
    ),
    "kdcore.spec.datasets": ("TABLES",),
    "kdcore.spec.difference": ("same_results",),
    "kdcore.spec.load": ("LoadedSpec", "below_of", "load_spec", "resolved_dict"),
    "kdcore.spec.models": ("DataSpec", "ModelSource", "ModelSpec"),
    "kdcore.spec.recipes": ("distiller_part", "find_recipe", "paper_settings"),
    "kdcore.spec.resolve": ("default_arguments", "resolve_distiller", "resolve_options", "validated"),
    "kdcore.spec.values": ("read_values",),
}
"""The module that has each name."""

__getattr__, __dir__, __all__ = lazy_names(globals(), NAMES)
