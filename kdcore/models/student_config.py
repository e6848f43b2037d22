"""`config.json` next to a student's weights: timm's hub format, and a section of kd's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.data.inputs import InputConfig
from kdcore.errors import Problem, UserError
from kdcore.json_files import read_json
from kdcore.models.class_names import names_in
from kdcore.rundir.student_folder import CONFIG, SECTION, WEIGHTS
from kdcore.spec.models import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSFORMED: Final = "transformed-student"
"""The name of the model that a student with transforms is."""
# arguments of timm's that a spec says elsewhere
_ELSEWHERE: Final = ("num_classes", "in_chans", "img_size", "global_pool")


@dataclass(frozen=True)
class StudentConfig:
    """What a student's folder says of it.

    Attributes:
        path: the folder.
        spec: the model as a run spec would name it.
        input: what it was trained on.
        num_classes: K.
        in_chans: channels of its images.
        class_names: names of the classes, or None.
        raw: the whole `config.json`.
    """

    path: Path
    spec: ModelSpec
    input: InputConfig
    num_classes: int
    in_chans: int
    class_names: tuple[str, ...] | None
    raw: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """What a spec may call its model: with transforms, also the name that the model had before them."""
        return tuple(dict.fromkeys((self.spec.model, untransformed(self.spec).model)))

    @property
    def weights(self) -> Path:
        """The file with the weights."""
        return self.path / WEIGHTS


def untransformed(spec: ModelSpec) -> ModelSpec:
    """The model of a student before its transforms; the same, if it has none."""
    while spec.model == TRANSFORMED:
        spec = spec_before(spec.options["model"])
    return spec


def spec_before(model: Mapping[str, Any]) -> ModelSpec:
    """The section of a spec for what a student with transforms says of its model before them."""
    return ModelSpec.model_validate({name: model[name] for name in ("model", "small_input", "options")})


def find_student(path: Path) -> Path | None:
    """The student's folder for a run directory or that folder itself; None where `path` is neither."""
    for folder in (path, path / "student"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    return None


def config_of(checkpoint: str | None, model: str | None) -> StudentConfig | None:
    """The configuration that belongs to a checkpoint: of a run directory, or next to a student's file of weights.

    Raises:
        UserError: there is one, and it is damaged.
    """
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    config = load_config(path)
    if config is None and path.name == WEIGHTS and path.is_file():
        beside = load_config(path.parent)
        if beside is not None and beside.weights == path and model in (None, *beside.names):
            return beside
    return config


def load_config(path: Path) -> StudentConfig | None:
    """The configuration in a run directory or student folder, also one that timm exported; otherwise None.

    Raises:
        UserError: there is one, and it is damaged.
    """
    folder = find_student(path)
    if folder is None:
        return None
    file = folder / CONFIG
    try:
        return _parse(folder, read_json(file))
    except OSError as error:
        raise UserError(Problem(str(file), f"cannot be read: {error.strerror}")) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            Problem(str(file), f"is not a configuration of timm's or kd's ({type(error).__name__}: {error})")
        ) from error


def _parse(folder: Path, raw: dict[str, Any]) -> StudentConfig:
    own = raw.get(SECTION)
    timm = raw["pretrained_cfg"]
    channels, height, width = timm["input_size"]
    if own is None:
        arguments = raw.get("model_args", {})
        options = {name: value for name, value in arguments.items() if name not in _ELSEWHERE}
        spec = ModelSpec.model_validate({"model": raw["architecture"], "options": options})
        size = arguments.get(
            "img_size", (height, width)
        )  # timm leaves a flexible model's own size in input_size
        height, width = (size, size) if isinstance(size, int) else size
    else:
        spec = ModelSpec.model_validate({key: own[key] for key in ("model", "small_input", "options")})
    names = names_in(raw, raw["num_classes"]) or names_in(timm, raw["num_classes"])
    return StudentConfig(
        folder,
        spec,
        InputConfig(
            (height, width),
            tuple(timm["mean"]),
            tuple(timm["std"]),
            timm.get("interpolation", "bicubic"),
            timm.get("crop_pct", 0.875),
        ),
        raw["num_classes"],
        channels,
        names,
        raw,
    )
