"""What a folder of transformers holds: configuration, preprocessing, names of the classes. It executes nothing."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_teachers.preprocessing import Preprocessing, read_preprocessing, with_defaults
from kdcore import ModelDescription, Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PLACE: Final = "options.path"
_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")
_PREPROCESSOR: Final = "preprocessor_config.json"
_PROCESSOR: Final = (
    "processor_config.json"  # of images and texts; its part about images goes first, as in transformers
)
_UNNAMED: Final = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Folder:
    """A folder that `save_pretrained` wrote.

    Attributes:
        path: the folder.
        written: the content of `config.json`.
        config: the same as transformers' object.
        prepared: how its images are prepared; None: the folder does not say it.
    """

    path: Path
    written: dict[str, Any]
    config: Any
    prepared: Preprocessing | None

    def describe(
        self, num_classes: int, class_names: tuple[str, ...] | None, *, fixed: bool, trainable: bool = True
    ) -> ModelDescription:
        """The description of a model of this folder; `fixed`: it takes images of the configuration's size only."""
        own, prepared = size_of(self.config), self.prepared
        fixed = fixed and own is not None
        missing = f"the folder has no {_PREPROCESSOR}: the images get ImageNet's mean and deviation"
        return ModelDescription(
            has_weights=True,
            trainable=trainable,
            num_classes=num_classes,
            class_names=class_names,
            mean=prepared.mean if prepared else None,
            std=prepared.std if prepared else None,
            image_size=own if fixed or prepared is None else prepared.image_size or own,
            fixed_size=fixed,
            interpolation=prepared.interpolation if prepared else "bicubic",
            crop_pct=prepared.crop_pct if prepared else 1.0,
            place=PLACE,
            warnings=() if prepared else (missing,),
        )


def open_folder(transformers: Any, path: str, in_chans: int) -> Folder:
    """Read the configuration files of a folder.

    Raises:
        UserError: a file is missing or damaged, or the model takes images of other channels.
    """
    folder = Path(path)
    written = read(folder / "config.json")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        message = "the folder has no model.safetensors, and kd opens no pickled weights"
        raise UserError(problem(message, folder, hint="save it again: model.save_pretrained(FOLDER)"))
    with quiet(transformers), explained(folder):
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    channels = getattr(of_images(config), "num_channels", in_chans)
    if channels != in_chans:
        raise UserError(problem(f"the model takes images of {channels} channels, not {in_chans}", folder))
    return Folder(folder, written, config, preprocessing_of(folder, transformers))


def check_complete(missing: Iterable[str], folder: Path) -> None:
    """Raises UserError if weights are missing in the folder."""
    keys = sorted(missing)
    if keys:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise UserError(problem(f"weights are missing in the folder: {', '.join(keys[:3])}{more}", folder))


def size_of(config: Any) -> tuple[int, int] | None:
    """The (height, width) in a configuration."""
    size = getattr(of_images(config), "image_size", None)
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def of_images(config: Any) -> Any:
    """The part of the configuration that is about images: CLIP's has one about text too."""
    return getattr(config, "vision_config", config)


def names_of(config: Any) -> tuple[str, ...] | None:
    """The names of the classes; None if nobody has given them."""
    names = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
    return None if all(_UNNAMED.fullmatch(name) for name in names) else names


def preprocessing_of(folder: Path, transformers: Any) -> Preprocessing | None:
    """What the files of a processor say; None if there is none.

    Raises:
        UserError: a file is damaged.
    """
    for name, part in ((_PROCESSOR, "image_processor"), (_PREPROCESSOR, None)):
        file = folder / name
        said = read(file) if file.is_file() else None
        said = said if said is None or part is None else said.get(part)
        if isinstance(said, dict):
            try:
                return read_preprocessing(with_defaults(said, transformers))
            except (TypeError, ValueError) as error:
                raise UserError(problem(f"{name} cannot be read: {error}", folder)) from error
    return None


def read(file: Path) -> dict[str, Any]:
    """A JSON object from a file of the folder."""
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        message = f"the folder has no {file.name}"
        hint = "save the model there with transformers: model.save_pretrained(FOLDER)"
        raise UserError(problem(message, file.parent, hint=hint)) from error
    except (OSError, ValueError) as error:
        raise UserError(problem(f"{file.name} cannot be read: {error}", file.parent)) from error
    if not isinstance(content, dict):
        raise UserError(problem(f"{file.name} is not a JSON object", file.parent))
    return content


def problem(message: str, folder: Path, hint: str | None = None) -> Problem:
    """A problem with the folder."""
    return Problem(PLACE, message, value=str(folder), hint=hint)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Within it, what transformers says against a folder becomes a problem with it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # it raises whatever it meets in a folder
        lines = str(error).strip().splitlines()
        cause = f"{type(error).__name__}: {lines[0] if lines else ''}"
        raise UserError(problem(f"transformers cannot open it: {cause}", folder)) from error


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
