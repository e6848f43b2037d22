"""A teacher that is a table of outputs: its rows are found for the run's images, and take the place of its passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import torch
from torch import Tensor, nn

from kdcore.errors import Problem, UserError
from kdcore.protocols import ModelOutput
from kdcore.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accelerate import Accelerator

    from kdcore.data import EvalData
    from kdcore.data.draws import Positions
    from kdcore.data.source import Source
    from kdcore.distill.distillation import Distillation
    from kdcore.distill.splits import Splits
    from kdcore.distill.teacher_passes import TeacherPasses
    from kdcore.models.by_sample import AnswersBySample
    from kdcore.protocols import Requires
    from kdcore.spec.models import DataSpec, RunSpec

_MOST: Final = 3
"""Names that a message shows."""


@dataclass(frozen=True)
class TableRows:
    """The rows of a table that belong to the images of a run.

    Attributes:
        model: the table.
        train: for each position in the training set `[N]`.
        evaluation: for each sample of the evaluation split `[M]`; None: it is not in the table, at least in part.
        notes: what the user should know, one line each.
    """

    model: AnswersBySample
    train: Tensor
    evaluation: Tensor | None
    notes: tuple[str, ...]


class GivesOutputs(Protocol):
    """What gives a teacher's outputs in the training steps in place of its pass."""

    def __call__(self, epoch: int, images: Tensor, index: Tensor) -> ModelOutput:
        """The output for a batch.

        Args:
            epoch: the epoch, or the augmentation.
            images: `[B, C, H, W]` as the student sees them, on the device.
            index: positions in the training set `[B]`, on the CPU.
        """
        ...


class TableTeacher:
    """Gives the rows of a table in the training steps, in place of a teacher's pass."""

    def __init__(self, model: AnswersBySample, rows: Tensor, device: torch.device) -> None:
        """`rows` `[N]`: for each position in the training set."""
        self._model, self._rows, self._device = model, rows, device

    def __call__(self, epoch: int, images: Tensor, index: Tensor) -> ModelOutput:
        """The table's logits for a batch, whatever the epoch and the pixels are.

        Args:
            epoch: not used.
            images: not used.
            index: positions in the training set `[B]`, on the CPU.
        """
        logits = self._model.sample_logits(self._rows[index])
        return ModelOutput(logits.to(self._device, non_blocking=True))


class InOrder(nn.Module):
    """Gives the rows of a table one batch after another, for images that come in the order of `rows`."""

    def __init__(self, model: AnswersBySample, rows: Tensor) -> None:
        super().__init__()
        self._model, self._rows, self._given = model, rows, 0

    @classmethod
    def of(cls, table: TableRows, data: EvalData) -> InOrder:
        """For the images of one process's evaluation data."""
        positions = data.positions()
        assert table.evaluation is not None
        assert positions is not None  # a stream has no keys, so no rows
        return cls(table.model, table.evaluation[positions])

    def forward(self, images: Tensor) -> Tensor:
        """The logits `[B, K]` of the next B images."""
        rows = self._rows[self._given : self._given + len(images)]
        self._given += len(images)
        return self._model.sample_logits(rows).to(images.device)


class LiveTeacher:
    """Another teacher of the same run, which computes in each step as it would without tables."""

    def __init__(self, teacher: TeacherPasses, accelerator: Accelerator) -> None:
        self._teacher, self._accelerator = teacher, accelerator

    def __call__(self, epoch: int, images: Tensor, index: Tensor) -> ModelOutput:
        """Its output for the images as the student sees them."""
        with self._accelerator.autocast():
            return self._teacher.compute(images)


def table_teachers(
    distillation: Distillation, tables: Mapping[str, TableRows], accelerator: Accelerator
) -> dict[str, GivesOutputs]:
    """What gives the outputs of each teacher of a run, some of which are tables."""
    given: dict[str, GivesOutputs] = {}
    for name, teacher in distillation.teacher_passes.items():
        table = tables.get(name)
        if teacher.is_read and table is not None:
            given[name] = TableTeacher(table.model, table.train, accelerator.device)
        elif teacher.is_read:
            given[name] = LiveTeacher(teacher, accelerator)
    return given


def sample_keys(source: Source, split: str) -> list[str]:
    """By what a table names the samples of a split: the file relative to the data's root, or else SPLIT/NUMBER."""
    return [source.key(index) or f"{split}/{index}" for index in range(len(source))]


def find_rows(
    model: AnswersBySample, splits: Splits, positions: Positions | None, data: DataSpec, where: str
) -> TableRows:
    """Find the rows of both splits.

    Args:
        model: the table.
        splits: the images.
        positions: the positions in the training split that the run trains on; None: all.
        data: which images these are.
        where: the place of the table in the spec.

    Raises:
        UserError: an image to train on has no row; the first ones are named.
    """
    train = splits.train
    chosen = torch.arange(len(train)) if positions is None else torch.as_tensor(positions, dtype=torch.int64)
    keys = sample_keys(train, data.train_split)
    found = _rows(model, keys, train.split)
    if found is None:
        if len(model) != len(train):
            rows = f"the table has {len(model):,} rows without names"
            hint = "give the rows names: the files of the images relative to the data's root"
            message = f"{rows}, and the training split {len(train):,} images"
            raise UserError(Problem(where, message, hint=hint))
        note = f"{where}: the rows have no names and belong to the training split: its accuracy is unknown"
        return TableRows(model, chosen, None, (note,))
    missing = chosen[found[chosen] < 0]
    if len(missing):
        names = _shown([keys[int(index)] for index in missing[:_MOST]], len(missing))
        row = model.sample_names([0])[0]
        message = f"the table has no row for {len(missing):,} of the {len(chosen):,} training images: {names}"
        hint = f"its names must be those of the files relative to the data's root; its first one is {printable(row)}"
        raise UserError(Problem(where, message, hint=hint))
    split = data.train_split if data.eval_split is None else data.eval_split
    # not relative to the split's folder: images of both splits may have one name there
    others = model.find_samples(sample_keys(splits.eval, split))
    assert others is not None
    notes = (*_unused(model, torch.cat([found, others]), where), *_unmeasured(others, where))
    return TableRows(model, found[chosen], others if bool((others >= 0).all()) else None, notes)


def check_tables(spec: RunSpec, requires: Requires, places: Sequence[str], *, stream: bool) -> None:
    """Check that a run can read tables of outputs.

    Args:
        spec: the run's.
        requires: what its distillers need.
        places: of the tables in the spec.
        stream: whether the training images are a stream.

    Raises:
        UserError: it changes its images so that no row belongs to them, or has no names for them.
    """
    problems: list[Problem] = []
    for name in ("mixup", "cutmix"):
        value = getattr(spec.data, name)
        if value > 0:
            message = "mixed images have no row in a table of outputs"
            problems.append(
                Problem(f"data.{name}", message, value, hint="set it to 0, or use a live teacher")
            )
    if spec.teacher_cache is not None:
        message = "a table of outputs is a cache already"
        problems.append(Problem("teacher_cache", message, hint="leave teacher_cache out"))
    if stream:
        problems.append(
            Problem(places[0], "the samples of a stream have no names, by which a table finds them")
        )
    if requires.num_views > 1:
        message = "a distiller sees several views of each image, and a table has one row for all of them"
        problems.append(Problem(places[0], message, hint="use a live teacher"))
    if problems:
        raise UserError(problems)


def _rows(model: AnswersBySample, keys: Sequence[str], split: str) -> Tensor | None:
    """The row of each training sample, -1 if the table lacks it; None: the rows have no names.

    If the table has no key, those relative to the split's folder are tried.
    """
    found = model.find_samples(keys)
    if found is None or bool((found >= 0).any()) or not split:
        return found
    return model.find_samples([key.removeprefix(f"{split}/") for key in keys])


def _unused(model: AnswersBySample, used: Tensor, where: str) -> tuple[str, ...]:
    there = torch.zeros(len(model), dtype=torch.bool)
    there[used[used >= 0]] = True
    left = (~there).nonzero().flatten()
    if not len(left):
        return ()
    names = _shown(model.sample_names(left[:_MOST].tolist()), len(left))
    return (f"{where}: {len(left):,} rows of the table belong to no image of the data: {names}",)


def _unmeasured(evaluation: Tensor, where: str) -> tuple[str, ...]:
    missing = int((evaluation < 0).sum())
    if not missing:
        return ()
    which = f"{missing:,} of the {len(evaluation):,}" if missing < len(evaluation) else "the"
    return (f"{where}: the table has no rows for {which} evaluation images: its accuracy is unknown",)


def _shown(names: Sequence[str], count: int) -> str:
    text = ", ".join(printable(name) for name in names[:_MOST])
    return text if count <= _MOST else f"{text}, ..."
