"""What plugins use for their commands, exporters, sections and launchers: output, texts, files, other plugins.

Importing this module imports nothing heavy, and none of its names needs torch. Runs, specs, models and data are in
`kdcore.inspect`; the records that a plugin declares, and errors, are in `kdcore`. `docs/generate.py` writes
`plugin.pyi`, which type checkers and editors read.
"""

from __future__ import annotations

from typing import Final

from kdcore.lazy_names import lazy_names

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "kdcore.cli.group": ("load_command",),
    "kdcore.cli.output": (
        "JsonFlag",
        "bold",
        "kept_in",
        "print_json",
        "print_problems",
        "say",
        "say_all",
        "stdout_for_the_result",
        "table",
        "warn_all",
    ),
    "kdcore.cli.key_values": ("key_values",),
    "kdcore.cli.run_flags": ("Best", "Ema", "RunPath", "chosen_weights"),
    "kdcore.cli.spec_flags": ("Overrides", "SpecPath"),
    "kdcore.entries": (
        "NEEDS",
        "TASKS",
    ),
    "kdcore.errors": ("listed", "nearest", "shown"),
    "kdcore.json_files": ("flat", "read_json"),
    "kdcore.lazy_names": ("lazy_names",),
    "kdcore.plugins": ("Plugins", "get_plugins"),
    "kdcore.plugins.importing": ("HEAVY", "PluginError", "cause", "guarded", "import_named"),
    "kdcore.plugins.pip_hint": ("pip_editable", "pip_install"),
    "kdcore.plugins.records": ("normalised",),
    "kdcore.plugins.roles": ("role_of",),
    "kdcore.run.signals": ("StopRequest", "stop_requests"),
    "kdcore.protocols": ("STAGES",),
    "kdcore.rundir.directory": ("DirectoryInUse",),
    "kdcore.rundir.files": ("atomic", "finite", "remove_leftovers", "write_json", "write_text"),
    "kdcore.spec.image_size": ("read_image_size", "sides", "size_text"),
    "kdcore.spec.paths": ("kind_of", "missing"),
    "kdcore.terminal": ("raw",),
    "kdcore.text": (
        "byte_size",
        "clock",
        "columns",
        "counted",
        "csv_cell",
        "dataset_name",
        "duration",
        "has_top_5",
        "latex",
        "markdown",
        "markdown_code",
        "message",
        "path_end",
        "percent",
        "printable",
        "short_count",
    ),
}
"""The module that has each name."""

__getattr__, __dir__, __all__ = lazy_names(globals(), NAMES)
