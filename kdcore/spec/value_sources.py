"""Where a value of the spec is from, if not from its file: a flag, or a recipe."""

from __future__ import annotations

from kdcore.spec.place import within


class Origins:
    """Places of the spec, and what gave them their values."""

    def __init__(self) -> None:
        self._origins: dict[str, str] = {}

    def note(self, where: str, origin: str) -> None:
        """Remember that the value at a place is from elsewhere."""
        self._origins[where] = origin

    def told(self, where: str) -> str:
        """A place with what is to be changed for it: `train.epochs (--set train.epochs=0)`."""
        for known, origin in reversed(self._origins.items()):
            if within(where, known):
                return f"{where} ({origin})"
        return where
