"""What the package declares, and what it says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import kd_export
import pytest
from kd_export import plugin

from kdcore import ExporterEntry
from kdcore.plugin import get_plugins

HEAVY = {
    "torch",
    "timm",
    "torchvision",
    "numpy",
    "accelerate",
    "pydantic",
    "typer",
    "onnx",
    "huggingface_hub",
}
PLUGINS = get_plugins()
README = Path(__file__).parents[1] / "README.md"


def test_declarations_import_nothing_heavy():
    calls = "plugin.kd_commands(), plugin.kd_exporters(), plugin.kd_transforms()"
    code = f"import sys, kd_export.plugin as plugin; {calls}; print({HEAVY!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "entry",
    [*plugin.kd_commands(), *plugin.kd_exporters(), *plugin.kd_transforms()],
    ids=lambda entry: entry.name,
)
def test_its_code_is_there(entry):
    (provided,) = [
        each for each in PLUGINS.all(type(entry)) if (each.entry, each.plugin.name) == (entry, "kd-export")
    ]
    assert callable(PLUGINS.load(provided, "test"))


@pytest.mark.parametrize("entry", [each for each in plugin.kd_exporters() if each.requires])
def test_the_extra_of_a_format_is_what_it_requires(entry):
    extras = [text.partition(";") for text in metadata.requires("kd-export") or ()]
    marked = f"extra == '{entry.name}'"
    found = {text.strip() for text, _, marker in extras if marked in marker.replace('"', "'")}
    assert found == set(entry.requires)


def test_public_names():
    assert kd_export.__all__ == [
        "ExportCheck",
        "ExportResult",
        "ExportsResult",
        "Latency",
        "PredictResult",
        "PushResult",
        "export",
        "export_all",
        "predict",
        "push",
    ]
    assert all(callable(getattr(kd_export, name)) for name in kd_export.__all__)


def test_the_readme_has_every_format():
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes)? ?\| (yes)? ?\|$", README.read_text("utf-8"), re.MULTILINE)
    assert rows == [
        (entry.name, "yes" if entry.int8 else "", "yes" if entry.fp16 else "")
        for entry in plugin.kd_exporters()
    ]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"fp16": "yes"}, "fp16 must be True or False, not 'yes'"),
        ({"options": "Own"}, "options is 'Own'; it must be 'package.module:attribute', or None"),
        ({"int8": 8}, "int8 must be True or False, not 8"),
        ({"requires": "onnx"}, "requires must be a sequence of strings, not 'onnx'"),
    ],
)
def test_a_wrong_field_of_an_exporter(field, message):
    with pytest.raises(ValueError, match=message):
        ExporterEntry(name="x", summary="x", target="a:b", **field)
