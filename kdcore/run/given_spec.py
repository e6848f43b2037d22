"""The spec of a student that was trained outside of kd: what it has to say, and what is written of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.distill.distillation import Distillation
from kdcore.errors import Problem, UserError
from kdcore.models.given import NAME as MODULE
from kdcore.spec.files import find_file, read_file
from kdcore.spec.load import load_dict, resolved_dict
from kdcore.spec.models import RUN_NAME, RunSpec

if TYPE_CHECKING:
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec

_PLACEHOLDER: Final = "vanilla"
_OF_TRAINING: Final = (
    "augment",
    "cutmix",
    "epoch_samples",
    "in_memory",
    "labelled_fraction",
    "mixup",
    "sampling",
    "skip_broken",
    "train_samples",
    "unlabelled",
    "views",
    "workers",
)
"""Fields of `data` that only training reads: their defaults say nothing of a user's own loop."""
_OF_THE_START: Final = ("checkpoint", "pretrained")
"""The same of `student`."""


@dataclass(frozen=True)
class GivenSpec:
    """A checked spec.

    Attributes:
        loaded: every name is known, and every default is filled in.
        written: for `spec.json`: as it was given, with all values that opening the run again reads.
    """

    loaded: LoadedSpec
    written: dict[str, Any]

    @property
    def spec(self) -> RunSpec:
        """The spec with every default filled in."""
        return self.loaded.spec

    @classmethod
    def of(
        cls, spec: RunSpec | Mapping[str, Any] | str | Path, student: object, path: Path, plugins: Plugins
    ) -> GivenSpec:
        """Check what was given for the run directory `path`.

        Raises:
            UserError: with every problem that was found.
        """
        raw, base = _raw(spec)
        distillation = student if isinstance(student, Distillation) else None
        _check_name(path)
        own = distillation is not None and raw.get("distiller") is None
        raw |= {"name": path.name, "output": str(path.absolute().parent)}
        loaded = load_dict(raw | ({"distiller": _PLACEHOLDER} if own else {}), base=base, plugins=plugins)
        if problems := list(_problems(raw, loaded.spec, distillation)):
            raise UserError(problems)
        if distillation is not None and not own:
            _check_distillers(loaded, distillation, plugins)
        return cls(loaded, _written(raw, loaded, distillation, own))


def _raw(spec: RunSpec | Mapping[str, Any] | str | Path) -> tuple[dict[str, Any], Path]:
    """What was given, and the folder that its relative paths are relative to."""
    if isinstance(spec, str | Path):
        file = find_file(Path(spec), str(spec))
        return read_file(file, str(spec)), file.absolute().parent
    if isinstance(spec, RunSpec):
        return spec.model_dump(exclude_unset=True), Path.cwd()
    given: object = spec
    if not isinstance(given, Mapping):
        message = "it must be a dict, a file or a RunSpec"
        raise UserError(Problem("spec", message, type(given).__name__))
    return dict(given), Path.cwd()


def _check_name(path: Path) -> None:
    if not re.fullmatch(RUN_NAME, path.name):
        allowed = "letters, digits, '_', '.' and '-', the first a letter or a digit"
        raise UserError(Problem("directory", "a run cannot have this name", path.name, allowed))


def _problems(raw: Mapping[str, Any], spec: RunSpec, distillation: Distillation | None) -> Iterator[Problem]:
    """What a run of kd would write, and `save_run` cannot."""
    if "dataset" not in (raw.get("data") or {}):
        hint = 'set "data": {"dataset": ...}: the images that the student is for, with data.image_size'
        yield Problem("data.dataset", "is missing", hint=hint)
    if spec.student.model == MODULE:
        message = "a module object has no name by which it can be built again"
        yield Problem("student.model", message, MODULE, hint="declare the model in a plugin, and name it")
    if spec.train.ema is not None:
        message = "one student is saved, and this asks for its average too"
        yield Problem("train.ema", message, spec.train.ema, "null", hint="leave it out, or save two runs")
    for member in spec.members:
        if member.spec.learns or member.spec.of is not None:
            message = "a teacher that changed in the loop is not saved"
            hint = "save it with save_run too, and name its run directory as this teacher's 'checkpoint'"
            yield Problem(f"{member.where}.{'learns' if member.spec.learns else 'of'}", message, hint=hint)
    if distillation is not None and distillation.changes_student is not None:
        name = distillation.names[distillation.changes_student]
        message = "its head belongs to the student, and only 'kd run' can save the two together"
        yield Problem("student", message, name)


def _check_distillers(loaded: LoadedSpec, distillation: Distillation, plugins: Plugins) -> None:
    """Raises UserError unless the spec names the distillers that trained the student."""
    modules = list(distillation.distillers)
    for number, item in enumerate(loaded.distillers):
        found: Any = plugins.load(item.provided, "distiller")
        fits = number < len(modules) and (not inspect.isclass(found) or isinstance(modules[number], found))
        if not fits or len(modules) != len(loaded.distillers):
            allowed = f"{', '.join(distillation.names)}, as the Distillation has"
            raise UserError(
                Problem("distiller", "the student was trained by another one", item.name, allowed)
            )


def _written(
    raw: Mapping[str, Any], loaded: LoadedSpec, distillation: Distillation | None, own: bool
) -> dict[str, Any]:
    """The content of `spec.json`: no default of a field that only training reads."""
    whole = resolved_dict(loaded)
    written = loaded.spec.model_dump(mode="json", exclude_unset=True)
    written |= {key: whole[key] for key in ("name", "output", "teacher", "distiller")}
    known = raw.get("data") or {}
    written["data"] = {
        key: value for key, value in whole["data"].items() if key in known or key not in _OF_TRAINING
    }
    known = raw["student"]  # the defaults say how it began
    written["student"] = {
        key: value for key, value in whole["student"].items() if key in known or key not in _OF_THE_START
    }
    if "teacher_cache" not in raw:
        written.pop("teacher_cache", None)
    task = written.pop("task", {})
    if distillation is not None:
        task["weight"] = distillation.task_weight
    elif (raw.get("task") or {}).get("weight") is None:
        task.pop("weight", None)  # the default of kd's own loop
    if own:
        assert distillation is not None
        names = [{"name": name} for name in distillation.names]
        written["distiller"] = names[0] if len(names) == 1 else names
    return written | ({"task": task} if task else {})
