"""What an exporter of a plugin wrote, and how it is loaded. Importing this module needs no torch."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedFiles:
    """Files that an exporter wrote, and how they are loaded without kd.

    With `load`, kd writes the script `load.py` into the folder, loads the export with it and compares its logits with
    the student's. Without it, only the files are checked.

    Attributes:
        files: their paths in the folder, the model itself first.
        load: the body of the script's function `load(folder)`, as Python. It returns a function from images
            `[B, C, H, W]` to logits `[B, K]`, both float32 NumPy arrays. `folder` is a `pathlib.Path`, and the script
            has imported NumPy as `np`.
        imports: further lines for the top of the script, such as `import onnxruntime`.
        needs: the distributions that the script needs in addition to NumPy and Pillow.
        exact: whether its logits have to be the student's. If False, as after quantisation, the check reports how much
            they differ, by default on all evaluation images.
        tolerance: the largest allowed difference of a logit, as a share of the student's largest logit; of an encoder,
            of a number of an embedding. None: a thousandth if `exact`, and any difference if not.
        platforms: the values of `sys.platform` where `load` works, such as `("darwin",)`; empty: everywhere. On others
            the export is written, and not compared.
        about: further facts for `kd.json`, as JSON.
        warnings: one line each for the user.

    Raises:
        ValueError: a field has another type, or there are no files.
    """

    files: Sequence[str | PathLike[str]]
    load: str = ""
    imports: Sequence[str] = ()
    needs: Sequence[str] = ()
    exact: bool = True
    tolerance: float | None = None
    platforms: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, kinds, meaning in (
            ("files", (str, PathLike), "paths"),
            ("imports", str, "lines of Python"),
            ("needs", str, "names of distributions"),
            ("platforms", str, "values of sys.platform"),
            ("warnings", str, "texts"),
        ):
            given: object = getattr(self, name)
            if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
                raise ValueError(f"ExportedFiles: {name} must be a sequence of {meaning}, not {given!r}")
            items = tuple(given)
            if wrong := [item for item in items if not isinstance(item, kinds)]:
                raise ValueError(
                    f"ExportedFiles: {name} has {wrong[0]!r}; it must be a sequence of {meaning}"
                )
            object.__setattr__(self, name, items)
        if not self.files:
            raise ValueError("ExportedFiles: files must have at least one path")
        for name, kind, meaning in (
            ("load", str, "Python as text"),
            ("exact", bool, "True or False"),
            ("about", Mapping, "a mapping"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"ExportedFiles: {name} must be {meaning}, not {getattr(self, name)!r}")
        share: object = self.tolerance
        if share is not None and not (isinstance(share, int | float) and 0 < share < math.inf):
            raise ValueError(f"ExportedFiles: tolerance must be a number above 0, or None, not {share!r}")

    @property
    def runs_here(self) -> bool:
        """Whether this system is one of `platforms`."""
        return not self.platforms or sys.platform in self.platforms
