"""A teacher that is a table of outputs: its rows are found for the run's images, and take the place of its passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from kdcore.errors import Problem, UserError
from kdcore.protocols import ModelOutput
from kdcore.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.data.source import Source
    from kdcore.models.by_sample import AnswersBySample

_MOST: Final = 3
"""Names that a message shows."""


@dataclass(frozen=True)
class TableRows:
    """The rows of a table that belong to the images of a run.

    Attributes:
        model: the table.
        train: for each sample of the training split, all of it `[N]`.
        evaluation: for each sample of the evaluation split `[M]`; None: some of them have no row.
        notes: what the user should know, one line each.
    """

    model: AnswersBySample
    train: Tensor
    evaluation: Tensor | None
    notes: tuple[str, ...]


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

    def forward(self, images: Tensor) -> Tensor:
        """The logits `[B, K]` of the next B images."""
        rows = self._rows[self._given : self._given + len(images)]
        self._given += len(images)
        return self._model.sample_logits(rows).to(images.device)


def find_rows(model: AnswersBySample, train: Source, evaluation: Source | None, where: str) -> TableRows:
    """Find the rows of both splits.

    Args:
        model: the table.
        train: the training split.
        evaluation: the evaluation split; None: there is none.
        where: the place of the table in the spec.

    Raises:
        UserError: a training image has no row; the first ones are named.
    """
    found = _rows(model, train)
    if found is None:
        if len(model) != len(train):
            message = f"the table has {len(model):,} rows without names, and the training split {len(train):,} images"
            hint = "give the rows names: the files of the images relative to the data's root"
            raise UserError(Problem(where, message, hint=hint))
        return TableRows(model, torch.arange(len(train)), None, ())
    missing = (found < 0).nonzero().flatten()
    if len(missing):
        names = _shown([train.key(int(index)) for index in missing[:_MOST]], len(missing))
        row = model.sample_names([0])[0]
        message = f"the table has no row for {len(missing):,} of the {len(train):,} training images: {names}"
        hint = f"its names must be those of the files relative to the data's root; its first one is {printable(row)}"
        raise UserError(Problem(where, message, hint=hint))
    others = None if evaluation is None else _rows(model, evaluation)
    used = found if others is None else torch.cat([found, others[others >= 0]])
    return TableRows(
        model, found, others if others is not None and bool((others >= 0).all()) else None,
        (*_unused(model, used, where), *_unmeasured(others, where)),
    )  # fmt: skip


def _rows(model: AnswersBySample, source: Source) -> Tensor | None:
    """The row of each sample of a split, -1 where there is none; None: the rows have no names.

    Names are relative to the data's root. If it has none of these, names relative to the split's folder are tried.
    """
    keys = [source.key(index) for index in range(len(source))]
    found = model.find_samples(keys)
    prefix = f"{source.split}/"
    if found is None or bool((found >= 0).any()) or not source.split:
        return found
    return model.find_samples([key.removeprefix(prefix) for key in keys])


def _unused(model: AnswersBySample, used: Tensor, where: str) -> tuple[str, ...]:
    there = torch.zeros(len(model), dtype=torch.bool)
    there[used] = True
    left = (~there).nonzero().flatten()
    if not len(left):
        return ()
    names = _shown(model.sample_names(left[:_MOST].tolist()), len(left))
    return (f"{where}: {len(left):,} rows of the table belong to no image of the data: {names}",)


def _unmeasured(evaluation: Tensor | None, where: str) -> tuple[str, ...]:
    missing = 0 if evaluation is None else int((evaluation < 0).sum())
    if evaluation is None or missing in (0, len(evaluation)):
        return ()
    return (
        f"{where}: the table has no row for {missing:,} of the {len(evaluation):,} evaluation images, so its accuracy "
        "is not measured",
    )


def _shown(names: Sequence[str], count: int) -> str:
    text = ", ".join(printable(name) for name in names[:_MOST])
    return text if count <= _MOST else f"{text}, ..."
