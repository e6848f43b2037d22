"""`save_run`: a student of a user's own training loop as a run directory, for everything that reads finished runs."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.distill.splits import open_splits
from kdcore.errors import Problem, UserError
from kdcore.models import save_student
from kdcore.models.class_names import check_class_names
from kdcore.plugins import get_plugins
from kdcore.run.caller_state import own_surroundings
from kdcore.run.end import leave_out
from kdcore.run.environment import environment
from kdcore.run.given_numbers import check_metrics, check_records
from kdcore.run.given_spec import GivenSpec
from kdcore.run.given_student import check_student, module_of
from kdcore.rundir.directory import ENVIRONMENT, OWN_LOOP, SPEC, RunDirectory
from kdcore.rundir.files import write_json
from kdcore.version import installed_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from kdcore.data import InputConfig
    from kdcore.distill.adapted_model import AdaptedModel
    from kdcore.distill.distillation import Distillation
    from kdcore.distill.splits import Splits
    from kdcore.models import BuiltModel
    from kdcore.plugins import Plugins
    from kdcore.spec.models import RunSpec

_LIBRARIES: Final = ("lightning", "pytorch_lightning", "transformers")
"""Libraries with training loops, whose versions are recorded if the program has imported them."""


def save_run(
    directory: str | Path,
    student: nn.Module | AdaptedModel | Distillation,
    spec: RunSpec | Mapping[str, Any] | str | Path,
    *,
    metrics: Mapping[str, float] | None = None,
    records: Sequence[Mapping[str, Any]] = (),
    class_names: Sequence[str] | None = None,
) -> RunDirectory:
    """Write a student of your own training loop as a finished run, which report, eval, export, predict and push take.

    `summary.json` says `"loop": "own"`. The directory has no number that is not given here, and `spec.json` has no
    setting of the training that `spec` does not give. The student is saved only if the model that the spec names gives
    the same outputs with its weights. With several processes, call it in the main one.

    Args:
        directory: the new run directory; its last part is the name of the run.
        student: the student after training, or the `Distillation` that trained it; wrappers of torch, accelerate and
            Lightning around it are removed.
        spec: a run spec with `student` (how it was built) and `data` (at least `dataset`), and `teacher`, if there was
            one: a dict, a file or a `RunSpec`. With a `Distillation`, `distiller` can be left out.
        metrics: what you measured of this student, by kd's names and in percent, such as `{"top1": 91.5}`; metrics of
            plugins in their own unit.
        records: one record for each epoch for `metrics.jsonl`, such as
            `{"epoch": 1, "loss": 0.8, "lr": 0.1, "eval": {"top1": 80.2}}`.
        class_names: names of the classes in the order of the logits; None: those of the data.

    Raises:
        UserError: the directory exists, the spec is wrong, its student is not this one, or a number or a name is wrong.
    """
    path = Path(directory)
    if path.exists() or path.is_symlink():
        hint = "give a directory that does not exist, or delete this one"
        raise UserError(Problem("directory", f"{path} exists already", hint=hint))
    plugins = get_plugins()
    given = GivenSpec.of(spec, student, path, plugins)
    measured = check_metrics(metrics, given.spec, plugins)
    epochs = check_records(records)
    module = module_of(student)
    with own_surroundings("kdcore.save_run"):
        splits = open_splits(given.spec, plugins, given.loaded.teachers)
        built, taken = check_student(module, given.spec, splits.num_classes, plugins)
        names = _names(class_names, splits, given.spec)
        fresh = path.with_name(f".{path.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            summary = _summary(built, measured, epochs, splits, taken, given.spec)
            _write(RunDirectory(fresh), module, given, built, taken, names, summary, epochs, plugins)
            fresh.rename(path)
        except OSError as error:
            raise UserError(Problem("directory", f"{path} cannot be written: {error.strerror}")) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return RunDirectory(path)


def _write(
    directory: RunDirectory,
    module: nn.Module,
    given: GivenSpec,
    built: BuiltModel,
    taken: InputConfig,
    names: Sequence[str] | None,
    summary: dict[str, Any],
    records: list[dict[str, Any]],
    plugins: Plugins,
) -> None:
    """Every file; the summary, which says that the run is finished, comes last."""
    directory.path.mkdir(parents=True)
    write_json(directory.path / SPEC, given.written)
    write_json(directory.path / ENVIRONMENT, _environment(module, directory.path.parent, plugins))
    if records:
        directory.write_metrics(records)
    save_student(
        module,
        directory.student,
        model_name=built.name,
        num_classes=summary["data"]["num_classes"] if given.spec.student.classifier else 0,
        input=taken,
        options=built.options,
        small_input=built.small_input,
        class_names=names,
        metrics=summary["student"],
        plugins=plugins,
    )
    leave_out(directory, plugins)  # 'kd report' makes the report
    directory.write_summary(summary)


def _environment(module: nn.Module, folder: Path, plugins: Plugins) -> dict[str, Any]:
    """What this program has; where the loop computed, and in how many processes, is not known."""
    about = environment(plugins, next(module.parameters()).device, 1, folder)
    for name in ("device", "processes"):
        del about[name]
    about["packages"] |= {name: installed_version(name) for name in _LIBRARIES if name in sys.modules}
    return about | {"loop": OWN_LOOP, "saved": datetime.now(UTC).isoformat(timespec="seconds")}


def _names(given: Sequence[str] | None, splits: Splits, spec: RunSpec) -> Sequence[str] | None:
    """The names of the classes, which must be those of the data."""
    if given is None or not spec.student.classifier:
        if given is not None:
            raise UserError(Problem("class_names", "the student has no classifier", list(given)))
        return splits.classes if spec.student.classifier else None
    names = [given] if isinstance(given, str) else list(given)
    if len(names) != splits.num_classes or not all(isinstance(name, str) for name in names):
        message = f"the student has {splits.num_classes} classes; each needs one name, a text"
        raise UserError(Problem("class_names", message, names))
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(Problem("class_names", "two classes have this name", twice))
    hint = "leave class_names out: the names of the data are taken"
    check_class_names(names, splits.classes, "class_names", model="student", hint=hint)
    return names


def _summary(
    built: BuiltModel,
    metrics: dict[str, float],
    records: list[dict[str, Any]],
    splits: Splits,
    taken: InputConfig,
    spec: RunSpec,
) -> dict[str, Any]:
    """What is known: the student's size, what was given, and how many classes there are."""
    task = {} if spec.task.kind == "classes" else {"task": spec.task.kind}
    return {
        "status": "finished",
        "loop": OWN_LOOP,
        "student": {
            "model": built.name,
            **metrics,
            "epoch": records[-1]["epoch"] if records else None,
            "parameters": built.parameters,
        },
        "data": {"num_classes": splits.num_classes, "image_size": list(taken.image_size), **task},
        **({"epochs": records[-1]["epoch"]} if records else {}),
    }
