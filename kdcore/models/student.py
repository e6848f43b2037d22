"""The student for other people's tools: a folder that timm loads as a model of its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from safetensors.torch import save_file
from torch import nn

from kdcore.data.inputs import per_channel
from kdcore.errors import Problem, UserError
from kdcore.models.architecture import TimmArchitecture, find_architecture
from kdcore.models.build import build_model
from kdcore.models.student_config import StudentConfig, load_config
from kdcore.rundir.files import sha256_of, sync_file, sync_folder, write_json
from kdcore.rundir.student_folder import CONFIG, DIGEST, SECTION, WEIGHTS
from kdcore.spec.models import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kdcore.data.inputs import InputConfig
    from kdcore.plugins import Plugins

UNKNOWN_TO_TIMM: Final = "_needs_kdcore"
"""Ends the architecture's name where timm cannot build the model: timm then says 'Unknown model' and
does not build another one. `load_student` loads it."""

# of timm's pretrained_cfg: what describes the architecture, not the weights it once came with
_KEPT: Final = ("pool_size", "first_conv", "classifier", "fixed_input_size", "license")


@dataclass(frozen=True)
class LoadedStudent:
    """A student read back: the model in evaluation mode, what it takes, and what its folder says of it."""

    model: nn.Module
    input: InputConfig
    config: StudentConfig


def save_student(
    model: nn.Module,
    directory: Path,
    *,
    model_name: str,
    num_classes: int,
    input: InputConfig,
    options: Mapping[str, Any],
    small_input: bool,
    class_names: Sequence[str] | None,
    metrics: Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    head_of: str | None = None,
) -> None:
    """Write `config.json` and `model.safetensors`, whole or not at all; what was there is replaced.

    Both are on the disk when this returns. The configuration has the SHA-256 of the weights.

    `timm.create_model("local-dir:DIRECTORY", pretrained=True)` gives the model back, small-input variants
    that are a matter of arguments included (ViT, DeiT, Swin, ConvNeXt). timm has no arguments for the changed
    stems of ResNet, MobileNet and EfficientNet, and does not know plugins' models: their folders name an
    architecture that timm refuses, instead of building another network; `load_student` loads them.

    With `head_of`, the configuration says that the model has the head of this distiller.

    Raises:
        UserError: an option is not a JSON value.
    """
    model = cast("nn.Module", getattr(model, "_orig_mod", model))  # torch.compile's wrapper
    config = _config(
        model, model_name, num_classes, input, options, small_input, class_names, metrics, plugins
    )
    if head_of is not None:
        config[SECTION]["includes"] = f"the head of distiller {head_of}, whose plugin is needed to load it"
    weights = {
        name: value.detach().to("cpu", copy=True).contiguous(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (directory.with_name(f".{directory.name}.{kind}") for kind in ("new", "old"))
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir()
    save_file(weights, fresh / WEIGHTS, metadata={"format": "pt"})
    sync_file(fresh / WEIGHTS)
    config[SECTION][DIGEST] = sha256_of(fresh / WEIGHTS)
    write_json(fresh / CONFIG, config)
    if directory.exists():
        directory.rename(old)
    fresh.rename(directory)
    sync_folder(directory.parent)  # a power cut after this leaves the new folder, whole
    shutil.rmtree(old, ignore_errors=True)


def load_student(path: str | Path, *, plugins: Plugins | None = None) -> LoadedStudent:
    """The student in a run directory or its `student/` folder, with its weights, in evaluation mode.

    Raises:
        UserError: there is none, or it cannot be built.
    """
    path = Path(path)
    config = load_config(path)
    if config is None:
        raise UserError(
            Problem(str(path), f"there is no student here: {CONFIG} and {WEIGHTS} must be in the folder")
        )
    built = build_model(
        ModelSpec.model_validate({"model": config.spec.model, "checkpoint": str(config.path)}),
        num_classes=config.num_classes,
        in_chans=config.in_chans,
        image_size=config.input.image_size,
        plugins=_plugins(plugins),
        where=str(config.path),
    )
    return LoadedStudent(built.model.eval(), config.input, config)


def _config(
    model: nn.Module,
    name: str,
    num_classes: int,
    taken: InputConfig,
    options: Mapping[str, Any],
    small_input: bool,
    class_names: Sequence[str] | None,
    metrics: Mapping[str, Any] | None,
    plugins: Plugins | None,
) -> dict[str, Any]:
    _check_json(options)
    in_chans = _in_chans(model, taken)
    architecture = find_architecture(name, _plugins(plugins), "student")
    changed = not isinstance(architecture, TimmArchitecture)
    arguments: dict[str, Any] = {}
    label = name
    if isinstance(architecture, TimmArchitecture):
        label = architecture.name
        arguments = architecture.arguments(options, small_input, taken.image_size, "student")
        changed = small_input and _changes(architecture, arguments, num_classes, in_chans)
    config: dict[str, Any] = {
        "architecture": _unknown(label) if changed else label,
        "num_classes": num_classes,
        "num_features": getattr(model, "num_features", None),
        "model_args": {"in_chans": in_chans, **{k: v for k, v in arguments.items() if "drop" not in k}},
        "pretrained_cfg": {**_pretrained_cfg(model, taken, in_chans), "num_classes": num_classes},
        SECTION: {
            "model": name,
            "small_input": small_input,
            "options": dict(options),
            "metrics": dict(metrics or {}),
            "timm_loads_it": not changed,
            "load_with": "kdcore.models.load_student(folder)"
            if changed
            else 'timm.create_model("local-dir:FOLDER", pretrained=True)',
        },
    }
    if class_names is not None:
        config["label_names"] = list(class_names)
    return config


def _pretrained_cfg(model: nn.Module, taken: InputConfig, in_chans: int) -> dict[str, Any]:
    """What timm reads to preprocess images for the model."""
    own = getattr(model, "pretrained_cfg", None) or {}
    return {
        **{key: own[key] for key in _KEPT if key in own},
        "tag": "kd",
        "custom_load": False,
        "input_size": [in_chans, *taken.image_size],
        "interpolation": taken.interpolation,
        "crop_pct": taken.crop_pct,
        "crop_mode": "center",  # as kd evaluates, however the first weights of the model were evaluated
        "mean": list(per_channel(taken.mean, in_chans)),
        "std": list(per_channel(taken.std, in_chans)),
    }


def _changes(
    architecture: TimmArchitecture, arguments: dict[str, Any], num_classes: int, in_chans: int
) -> bool:
    """Whether the small-input variant is more than constructor arguments."""
    change = architecture.family("student").change
    if change is None:
        return False
    with torch.device("meta"):
        plain = architecture.create(num_classes, in_chans, None, arguments, False, False, "student")
        return change(plain)


def _in_chans(model: nn.Module, taken: InputConfig) -> int:
    own = getattr(model, "in_chans", None)
    return own if isinstance(own, int) else len(taken.mean)


def _unknown(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name) + UNKNOWN_TO_TIMM


def _check_json(options: Mapping[str, Any]) -> None:
    problems = []
    for name, value in options.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            problems.append(Problem(f"student.options.{name}", "is not a JSON value", value=value))
    if problems:
        raise UserError(problems)


def _plugins(plugins: Plugins | None) -> Plugins:
    if plugins is not None:
        return plugins
    from kdcore.plugins import get_plugins

    return get_plugins()
