"""Several labels an image: every set of labels that occurs, by a number, so that a sample's label stays an integer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class LabelSets:
    """The different sets of labels of a split.

    Attributes:
        rows: `[P, K]`, uint8: 1 for each label of a set. A sample's label is the number of its row, or negative as in
            `kdcore.data.special_targets`.
    """

    rows: Tensor

    @classmethod
    def of(cls, rows: Tensor, known: Tensor | None = None) -> tuple[LabelSets, Tensor]:
        """The sets, and the number of each sample's `[N]`, -1 for one without known labels.

        Args:
            rows: the labels of each sample `[N, K]`, 0 or 1.
            known: which samples have known labels, booleans `[N]`; None: all.
        """
        if known is None:
            known = torch.ones(len(rows), dtype=torch.bool)
        numbers = torch.full((len(rows),), -1, dtype=torch.int64)
        found, inverse = torch.unique(rows[known].to(torch.uint8), dim=0, return_inverse=True)
        numbers[known] = inverse
        return cls(found), numbers

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_labels(self) -> int:
        """K."""
        return self.rows.shape[1]

    def targets(self, numbers: Tensor) -> Tensor:
        """The targets of samples `[B, K]`, float32: 0 and 1, or the negative number of the sample in each column.

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
        of_sets = torch.bincount(numbers[numbers >= 0], minlength=len(self))
        return (of_sets.unsqueeze(1) * self.rows.long()).sum(dim=0)
