"""Models that answer for samples of the data by their names, and never compute: tables of outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@runtime_checkable
class AnswersBySample(Protocol):
    """A teacher that has the logits of samples in rows, and none for other images."""

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def find_samples(self, names: Sequence[str]) -> Tensor | None:
        """The row of each name `[N]`, int64, -1 if the table lacks it; None: row n is that of sample n."""
        ...

    def sample_names(self, rows: Sequence[int]) -> list[str]:
        """The names of some rows, for messages."""
        ...

    def sample_logits(self, rows: Tensor) -> Tensor:
        """The logits `[B, K]` of some rows, float32 on the CPU."""
        ...
