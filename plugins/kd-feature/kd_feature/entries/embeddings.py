"""Entries of the methods that compare embeddings and tokens of encoders. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdcore import DistillerEntry

ENTRIES: tuple[DistillerEntry, ...] = ()
