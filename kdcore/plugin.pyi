# Written by `uv run python docs/generate.py`. Do not edit.

from typing import Final

from kdcore.cli.group import load_command
from kdcore.cli.key_values import key_values
from kdcore.cli.output import (
    JsonFlag,
    bold,
    kept_in,
    print_json,
    print_problems,
    say,
    say_all,
    stdout_for_the_result,
    table,
    warn_all,
)
from kdcore.cli.run_flags import Best, Ema, RunPath, chosen_weights
from kdcore.cli.spec_flags import Overrides, SpecPath
from kdcore.entries import NEEDS, TASKS
from kdcore.errors import listed, nearest, shown
from kdcore.json_files import flat, read_json
from kdcore.lazy_names import lazy_names
from kdcore.plugins import Plugins, get_plugins
from kdcore.plugins.importing import HEAVY, PluginError, cause, guarded, import_named
from kdcore.plugins.pip_hint import pip_editable, pip_install
from kdcore.plugins.records import normalised
from kdcore.plugins.roles import role_of
from kdcore.protocols import STAGES
from kdcore.run.signals import StopRequest, stop_requests
from kdcore.rundir.directory import DirectoryInUse
from kdcore.rundir.files import atomic, finite, remove_leftovers, write_json, write_text
from kdcore.spec.image_size import read_image_size, sides, size_text
from kdcore.spec.paths import kind_of, missing
from kdcore.terminal import raw
from kdcore.text import (
    byte_size,
    clock,
    columns,
    counted,
    csv_cell,
    dataset_name,
    duration,
    has_top_5,
    latex,
    markdown,
    markdown_code,
    message,
    path_end,
    percent,
    printable,
    short_count,
)

NAMES: Final[dict[str, tuple[str, ...]]]

__all__ = [
    "HEAVY",
    "NEEDS",
    "STAGES",
    "TASKS",
    "Best",
    "DirectoryInUse",
    "Ema",
    "JsonFlag",
    "Overrides",
    "PluginError",
    "Plugins",
    "RunPath",
    "SpecPath",
    "StopRequest",
    "atomic",
    "bold",
    "byte_size",
    "cause",
    "chosen_weights",
    "clock",
    "columns",
    "counted",
    "csv_cell",
    "dataset_name",
    "duration",
    "finite",
    "flat",
    "get_plugins",
    "guarded",
    "has_top_5",
    "import_named",
    "kept_in",
    "key_values",
    "kind_of",
    "latex",
    "lazy_names",
    "listed",
    "load_command",
    "markdown",
    "markdown_code",
    "message",
    "missing",
    "nearest",
    "normalised",
    "path_end",
    "percent",
    "pip_editable",
    "pip_install",
    "print_json",
    "print_problems",
    "printable",
    "raw",
    "read_image_size",
    "read_json",
    "remove_leftovers",
    "role_of",
    "say",
    "say_all",
    "short_count",
    "shown",
    "sides",
    "size_text",
    "stdout_for_the_result",
    "stop_requests",
    "table",
    "warn_all",
    "write_json",
    "write_text",
]
