"""Weights with what builds the network: a folder for timm, and plain safetensors with lines of Python."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors.torch import save_file

from kd_export.about import as_texts
from kd_export.recipe import BuildRecipe, beyond_timm, recipe_of
from kdcore import ExportedFiles, ExporterEntry, Problem, UserError
from kdcore.inspect import save_student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.inspect import RunStudent

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
CALL: Final = """
@torch.inference_mode()
def student(images):
    return model(torch.from_numpy(images)).numpy()

return student
"""
"""The end of a script's `load`, where it has made `model`."""


def write_timm(student: RunStudent, folder: Path, about: dict[str, Any]) -> ExportedFiles:
    """`config.json` and `model.safetensors`, as timm's hub has them.

    Raises:
        UserError: the model is a plugin's, which timm does not know.
    """
    recipe = recipe_of(student)
    if not recipe.timm:
        message = f"timm cannot build this student: {beyond_timm(student, recipe)}"
        others = ", ".join(
            each.entry.name for each in student.plugins.all(ExporterEntry) if each.entry.name != "timm"
        )
        raise UserError(Problem("--to", message, "timm", allowed=others))
    save_timm(student, folder, about)
    if not recipe.changed:
        return ExportedFiles(
            files=[WEIGHTS, CONFIG],
            load=f'model = timm.create_model(f"local-dir:{{folder}}", pretrained=True).eval()\n{CALL}',
            imports=["import timm", "import torch"],
            needs=["timm", "torch"],
        )
    warning = (
        f"timm has no arguments for the small-input stem of {student.name}: timm.create_model refuses this folder. "
        f"The lines of load.py build it with timm, and kdcore.load_student loads it"
    )
    return _from_lines(recipe, [WEIGHTS, CONFIG], [warning])


def save_timm(student: RunStudent, folder: Path, about: dict[str, Any]) -> None:
    """`config.json` and `model.safetensors`."""
    network = student.network
    save_student(
        student.model,
        folder / "timm",
        model_name=network.model,
        num_classes=student.num_classes,
        input=student.input,
        options=network.options,
        small_input=network.small_input,
        class_names=student.class_names,
        metrics=about["results"],
    )
    for name in (CONFIG, WEIGHTS):
        (folder / "timm" / name).rename(folder / name)
    (folder / "timm").rmdir()
    (folder / WEIGHTS).chmod(0o644)


def student_config(student: RunStudent, about: dict[str, Any]) -> dict[str, Any]:
    """The `config.json` that `save_timm` writes, without the checksum: timm writes the weights to other bytes."""
    with tempfile.TemporaryDirectory() as folder:
        save_timm(student, Path(folder), about)
        config: dict[str, Any] = json.loads((Path(folder) / CONFIG).read_text("utf-8"))
    config["kdcore"].pop("sha256", None)
    return config


def write_torch(student: RunStudent, folder: Path, about: dict[str, Any]) -> ExportedFiles:
    """`model.safetensors` with the model's own names."""
    weights = {
        name: value.detach().contiguous(memory_format=torch.contiguous_format).clone()
        for name, value in student.model.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt", **as_texts(about)})
    (folder / WEIGHTS).chmod(0o644)  # safetensors gives it to its owner alone
    return _from_lines(recipe_of(student), [WEIGHTS])


def _from_lines(recipe: BuildRecipe, files: list[str], warnings: Sequence[str] = ()) -> ExportedFiles:
    imports = sorted({*recipe.imports, "import torch"}, key=lambda line: (line.startswith("from"), line))
    lines = [*recipe.lines, f'model.load_state_dict(load_file(folder / "{WEIGHTS}"))', "model.eval()"]
    return ExportedFiles(
        files=files,
        load="\n".join([*lines, CALL]),
        imports=[*imports, "from safetensors.torch import load_file"],
        needs=[*recipe.needs, "torch", "safetensors"],
        warnings=warnings,
    )
