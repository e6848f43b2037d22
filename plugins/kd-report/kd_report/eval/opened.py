"""What `kd eval` measures: models on their device, and images for the first of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore import Problem, UserError
from kdcore.inspect import TABLES, check_class_names

if TYPE_CHECKING:
    import torch

    from kd_report.eval.request import EvalRequest, ImageChoice
    from kdcore import FoundTeacher, OpenedModel
    from kdcore.inspect import DataSpec, EvalData, Source, Which

_FEW: Final = 1024  # images for which loader processes cost more time than they save
_NAMED: Final = 5  # images that a warning lists
_OTHER_DATA: Final = (
    "give its classes the names that the model was trained with, in that order, or name other data"
)


@dataclass(frozen=True, kw_only=True)
class OpenedImages:
    """Images in batches, and where they are from."""

    batches: EvalData
    dataset: str
    split: str
    channels: int

    def left_out(self) -> tuple[str, ...]:
        """A warning that counts and names the images that could not be read so far, if there are any."""
        found = sorted(self.batches.broken)
        if not found:
            return ()
        named = ", ".join(self.batches.name(position) for position in found[:_NAMED])
        more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        what = "image cannot be read and is" if len(found) == 1 else "images cannot be read and are"
        return (f"{len(found):,} {what} skipped: {named}{more}",)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How forward passes run: device, number format and memory order."""

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Everything that is measured.

    Attributes:
        student: the model that the target names.
        teacher: the model to compare it with, or why it is missing.
        images: for both.
        setting: how both run.
        weights: which of a run's students; None: the target is not a run.
        warnings: what the user should know.
        metrics: the names of metrics in a run's spec; None: it names none, or the target is not a run.
        top_k: of a run's spec, and as asked for: more values of k for top-k.
        classes: the names of the classes; None: not known.
        thresholds: with several labels an image, those of the student of a run or an export `[K]`; None: not known.
    """

    student: OpenedModel
    teacher: FoundTeacher
    images: OpenedImages
    setting: Setting
    weights: Which | None
    warnings: tuple[str, ...]
    metrics: tuple[str, ...] | None = None
    top_k: tuple[int, ...] = ()
    classes: tuple[str, ...] | None = None
    thresholds: tuple[float, ...] | None = None

    @property
    def models(self) -> tuple[OpenedModel, ...]:
        """The student, and the teacher if there is one."""
        return (self.student,) if self.teacher.model is None else (self.student, self.teacher.model)

    @property
    def predictors(self) -> tuple[OpenedModel, ...]:
        """The models that see the images: the student, and the teacher or each of several."""
        members = tuple(self.teacher.members.values())
        return (self.student, *members) if members else self.models


def with_flags(data: DataSpec, images: ImageChoice) -> DataSpec:
    """A spec's data with the changes that the flags ask for.

    Raises:
        UserError: there are options of a table, and no table.
    """
    if images.table_options and not str(images.dataset or "").lower().endswith(TABLES):
        message = "this is for a table as --data"
        allowed = f"a file that ends in {', '.join(TABLES)}"
        raise UserError(Problem("--table-option", message, images.dataset, allowed, hint="leave it out"))
    changes: dict[str, Any] = {"in_memory": False}  # the images are read once
    if images.dataset is not None:
        # fields for the run's dataset do not apply to another dataset
        changes |= {"dataset": images.dataset, "root": images.root, "num_classes": None}
        changes["options"] = dict(images.table_options)
    elif images.root is not None:
        changes["root"] = images.root
    if images.split is not None:
        changes["eval_split"] = images.split
    if images.dataset is not None or images.split not in (None, data.eval_split):
        changes["eval_samples"] = None
    if images.samples is not None and images.samples <= _FEW:
        changes["workers"] = 0
    return data.model_copy(update=changes)


def check_predicts(num_classes: int, name: str) -> None:
    """Raises UserError for a model without a classifier."""
    if num_classes == 0:
        message = "this model is an encoder: it has no classifier, and so no predictions to measure"
        hint = (
            "its run's summary.json has its k-NN and linear-probe accuracy; a run with it as 'student.checkpoint' "
            "trains a classifier on it"
        )
        raise UserError(Problem("TARGET", message, name, hint=hint))


def check_no_model_flags(request: EvalRequest, what: str, *, shaped: bool = False) -> None:
    """Raises UserError for flags of a model, given for a target that knows its model.

    Args:
        request: with the flags.
        what: the target is.
        shaped: whether it may be built with options of its own and for another image size.
    """
    model = request.model
    given: dict[str, object] = {
        "--model": model.name,
        "--pretrained": model.pretrained,
        "--checkpoint": model.checkpoint,
    }
    if not shaped:
        given |= {
            "--small-input": model.small_input,
            "--option": model.options,
            "--image-size": model.image_size,
        }
    problems = [
        Problem(flag, f"{request.target} is {what}", hint="leave it out")
        for flag, value in given.items()
        if value
    ]
    if problems:
        raise UserError(problems)


def check_classes(
    source: Source, num_classes: int, classes: tuple[str, ...] | None, images: ImageChoice
) -> None:
    """Check that the model knows the classes of the data.

    Raises:
        UserError: it does not.
    """
    where = "--data" if images.dataset is not None else "--split"
    value = images.dataset or images.split
    if not source.labelled:
        return
    if source.classes is not None and classes is not None:
        check_class_names(classes, source.classes, where, model="model", value=value, hint=_OTHER_DATA)
    elif source.num_classes is not None and source.num_classes > num_classes:
        message = f"it has {source.num_classes} classes, the model knows {num_classes}"
        raise UserError(Problem(where, message, value))


def checked_top_k(
    top_k: tuple[int, ...], num_classes: int, *, several: bool, of_run: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """The values of k that are measured: those of the run, and those that were asked for.

    Args:
        top_k: as asked for.
        num_classes: K.
        several: whether an image has several labels.
        of_run: those of the run's spec.

    Raises:
        UserError: a value is not below K, or an image has several labels.
    """
    if top_k and several:
        message = "top-k is for one class an image, and these images have several labels"
        raise UserError(Problem("--top-k", message, list(top_k), hint="leave it out"))
    wrong = [k for k in top_k if not 1 <= k < num_classes]
    if wrong:
        message = (
            f"with {num_classes} classes the top-k accuracy of every model is 100 % from k = {num_classes} on"
        )
        raise UserError(Problem("--top-k", message, wrong, f"1 to {num_classes - 1}"))
    return tuple(dict.fromkeys((*of_run, *top_k)))
