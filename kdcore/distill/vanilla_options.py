"""The options of the baseline. Imports no torch."""

from __future__ import annotations

from kdcore.options import DistillerOptions


class VanillaOptions(DistillerOptions):
    """The baseline has no options of its own."""
