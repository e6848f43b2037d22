"""Image classifiers of transformers from saved folders: offline, safetensors only, no code from the folder."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor, nn

from kd_teachers.libraries import library
from kd_teachers.preprocessing import Preprocessing, read_preprocessing
from kdcore import ModelDescription, Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACE: Final = "options.path"
_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")
_PREPROCESSOR: Final = "preprocessor_config.json"
_FIXED: Final = ("clip",)  # classifiers that refuse images of another size than their configuration's
_UNNAMED: Final = re.compile(r"LABEL_\d+")


class Classifier(nn.Module):
    """What is added to the class of transformers; weights and module paths keep their names."""

    kd_description: ModelDescription
    num_classes: int
    _flips_channels: bool
    _own_size: tuple[int, int] | None
    _interpolates: bool

    def forward(self, images: Tensor, **asked: Any) -> Any:
        """`[B, C, H, W]` -> the logits `[B, K]`; with `asked`, what transformers returns for it."""
        arguments = dict(asked)
        if self._interpolates and tuple(images.shape[-2:]) != self._own_size:
            arguments["interpolate_pos_encoding"] = True
        if self._flips_channels:
            images = images.flip(1)
        output: Any = super().forward(pixel_values=images, **arguments)
        return output if asked else output.logits

    def get_classifier(self) -> nn.Module:
        """The last layer; by it kd sees how many classes a checkpoint knows."""
        return cast("nn.Module", self.classifier)


def build(num_classes: int, in_chans: int, *, path: str) -> nn.Module:
    """The classifier in a folder, with its weights; on the meta device without them.

    Args:
        num_classes: K; another number than the folder's replaces the classifier, 0 takes it away.
        in_chans: channels of the images.
        path: the folder.

    Raises:
        UserError: a file is missing, the library is, or the folder holds no image classifier that it knows.
    """
    transformers = library("transformers", "transformers")
    folder = Path(path)
    written = _read(folder / "config.json")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        message = "the folder has no model.safetensors, and kd opens no pickled weights"
        raise UserError(_problem(message, folder, hint="save it again: model.save_pretrained(FOLDER)"))
    with quiet(transformers), _explained(folder):
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    if type(config) not in transformers.AutoModelForImageClassification._model_mapping:
        message = f"transformers has no image classifier of the kind '{config.model_type}'"
        raise UserError(_problem(message, folder))
    channels = getattr(_of_images(config), "num_channels", in_chans)
    if channels != in_chans:
        raise UserError(_problem(f"the model takes images of {channels} channels, not {in_chans}", folder))
    classifies = any("ForImageClassification" in name for name in written.get("architectures") or ())
    known = int(config.num_labels) if classifies else 0
    names = _names(config) if classifies else None
    prepared = _preprocessing(folder)
    model = _load(transformers, folder, config, num_classes if num_classes not in (0, known) else None)
    if num_classes == 0:
        model.classifier = nn.Identity()
    _complete(model, config, prepared)
    own = _size_of(config)
    fixed = config.model_type in _FIXED and own is not None
    size = own if fixed or prepared is None else prepared.image_size or own
    model.kd_description = ModelDescription(
        has_weights=True,
        num_classes=known,
        class_names=names,
        mean=prepared.mean if prepared else None,
        std=prepared.std if prepared else None,
        image_size=size,
        fixed_size=fixed,
        interpolation=prepared.interpolation if prepared else "bicubic",
        crop_pct=prepared.crop_pct if prepared else 1.0,
        place=_PLACE,
        warnings=()
        if prepared
        else (f"the folder has no {_PREPROCESSOR}: the images get ImageNet's mean and deviation",),
    )
    model.num_classes = num_classes or known
    return cast("nn.Module", model)


def _load(transformers: Any, folder: Path, config: Any, classes: int | None) -> Any:
    auto = transformers.AutoModelForImageClassification
    if classes is not None:
        config.num_labels = classes
    with quiet(transformers), _explained(folder):
        if torch.get_default_device().type == "meta":
            return auto.from_config(config, trust_remote_code=False, dtype=torch.float32)
        model, info = auto.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=classes is not None,
            output_loading_info=True,
            dtype=torch.float32,
        )
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("classifier"))
    if missing:
        message = f"weights are missing in the folder: {', '.join(missing[:3])}" + (
            f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        )
        raise UserError(_problem(message, folder))
    return model.train()


def _complete(model: Any, config: Any, prepared: Preprocessing | None) -> None:
    accepted = inspect.signature(type(model).forward).parameters
    model.__class__ = _class_of(cast("Any", type(model)))
    model._flips_channels = bool(prepared and prepared.flips_channels)
    model._interpolates = "interpolate_pos_encoding" in accepted
    model._own_size = _size_of(config)


def _size_of(config: Any) -> tuple[int, int] | None:
    size = getattr(_of_images(config), "image_size", None)
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _of_images(config: Any) -> Any:
    """The part of the configuration that is about images: CLIP's has one about text too."""
    return getattr(config, "vision_config", config)


@cache
def _class_of(cls: type[nn.Module]) -> type[nn.Module]:
    """The class with `Classifier` before it, so that adapters declared for transformers' class serve it."""
    return type(cls.__name__, (Classifier, cls), {"__module__": __name__, "__doc__": cls.__doc__})


def _names(config: Any) -> tuple[str, ...] | None:
    """The names of the classes; None if nobody has given them."""
    names = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
    return None if all(_UNNAMED.fullmatch(name) for name in names) else names


def _preprocessing(folder: Path) -> Preprocessing | None:
    file = folder / _PREPROCESSOR
    if not file.is_file():
        return None
    try:
        return read_preprocessing(_read(file))
    except (TypeError, ValueError) as error:
        raise UserError(_problem(f"{file.name} cannot be read: {error}", folder)) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        message = f"the folder has no {file.name}"
        hint = "save the model there with transformers: model.save_pretrained(FOLDER)"
        raise UserError(_problem(message, file.parent, hint=hint)) from error
    except (OSError, ValueError) as error:
        raise UserError(_problem(f"{file.name} cannot be read: {error}", file.parent)) from error
    if not isinstance(content, dict):
        raise UserError(_problem(f"{file.name} is not a JSON object", file.parent))
    return content


def _problem(message: str, folder: Path, hint: str | None = None) -> Problem:
    return Problem(_PLACE, message, value=str(folder), hint=hint)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Within it, what transformers says against a folder becomes a problem with it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # it raises whatever it meets in a folder
        lines = str(error).strip().splitlines()
        cause = f"{type(error).__name__}: {lines[0] if lines else ''}"
        raise UserError(_problem(f"transformers cannot open it: {cause}", folder)) from error


@contextlib.contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Within it, transformers prints neither bars nor notes; afterwards it does what it did before."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
