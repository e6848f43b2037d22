"""Several labels an image: every set of labels that occurs, by a number, so that a sample's label stays an integer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from torch import Tensor


_NAMED: Final = 5  # labels in a note


@dataclass(frozen=True, eq=False)
class LabelSets:
    """The different sets of labels of a split.

    Attributes:
        rows: `[P, K]`, int8: 1 for each label of a set, 0 for one that it lacks, -1 for one that is not known. A
            sample's label is the number of its row, or negative as in `kdcore.data.special_targets`.
    """

    rows: Tensor

    @classmethod
    def of(cls, rows: Tensor, known: Tensor | None = None) -> tuple[LabelSets, Tensor]:
        """The sets, and the number of each sample's `[N]`, -1 for one without known labels.

        Args:
            rows: the labels of each sample `[N, K]`, 0 or 1, or -1 for one that is not known.
            known: which samples have known labels, booleans `[N]`; None: all.
        """
        if known is None:
            known = torch.ones(len(rows), dtype=torch.bool)
        numbers = torch.full((len(rows),), -1, dtype=torch.int64)
        found, inverse = torch.unique(rows[known].to(torch.int8), dim=0, return_inverse=True)
        numbers[known] = inverse
        return cls(found), numbers

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_labels(self) -> int:
        """K."""
        return self.rows.shape[1]

    def targets(self, numbers: Tensor) -> Tensor:
        """The targets of samples `[B, K]`, float32: 0 and 1, -1 where a label is not known.

        A sample without known labels, or one that is broken, has its negative number in each column.

        Args:
            numbers: of their sets `[B]`, on the CPU.
        """
        found = (
            self.rows[numbers.clamp(min=0)].float()
            if len(self)
            else torch.zeros(len(numbers), self.num_labels)
        )
        return torch.where(numbers.unsqueeze(1) < 0, numbers.unsqueeze(1).float(), found)

    def counts(self, numbers: Tensor) -> Tensor:
        """How many of the samples have each label `[K]`, int64.

        Args:
            numbers: of their sets `[N]`; negative ones are not counted.
        """
        return self._sums(numbers, self.rows > 0)

    def known(self, numbers: Tensor) -> Tensor:
        """For how many of the samples each label is known `[K]`, int64; `numbers` as in `counts`."""
        return self._sums(numbers, self.rows >= 0)

    @property
    def partial(self) -> bool:
        """Whether some sets have a label that is not known."""
        return bool((self.rows < 0).any())

    def _sums(self, numbers: Tensor, rows: Tensor) -> Tensor:
        of_sets = torch.bincount(numbers[numbers >= 0], minlength=len(self))
        return (of_sets.unsqueeze(1) * rows.long()).sum(dim=0)


def note_on_partial(
    title: str, sets: LabelSets, numbers: Tensor, names: tuple[str, ...] | None
) -> tuple[str, ...]:
    """A line on images of which only some labels are known; nothing if there are none.

    Args:
        title: of the data.
        sets: of the samples.
        numbers: of their sets `[N]`.
        names: of the labels; None: not known.
    """
    own = numbers[numbers >= 0]
    some = (sets.rows < 0).any(dim=1)[own] if len(sets) else torch.zeros(0, dtype=torch.bool)
    if not bool(some.any()):
        return ()
    missing = (len(own) - sets.known(numbers)).tolist()
    told = [
        f"{name} {count:,}"
        for name, count in zip(names or range(sets.num_labels), missing, strict=True)
        if count
    ]
    most = ", ".join(told[:_NAMED]) + (
        f" and {len(told) - _NAMED:,} more labels" if len(told) > _NAMED else ""
    )
    return (
        f"{title}: of {int(some.sum()):,} of {len(own):,} images only some labels are known; not known are: {most}",
    )
