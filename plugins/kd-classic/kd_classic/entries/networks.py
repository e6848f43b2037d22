"""Entries of the methods with several networks: peers that learn together, several teachers. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdcore import DistillerEntry

ENTRIES: tuple[DistillerEntry, ...] = ()
