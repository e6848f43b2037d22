"""`OutputsTable`: logits or probabilities of each image, all of them or the largest; checked, and found by name."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from kdcore.plugin import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    Array = np.ndarray[Any, Any]

LEAST: Final = 1e-12
"""A probability below this, also 0, counts as this: its logarithm stays finite."""
_CHUNK: Final = 4096
_BYTES: Final = 1 << 20
_EXACT, _ROUNDED = 1e-3, 2e-2
"""How far the sum of probabilities may be from 1: of 32 or 64 bits, and of 16."""
KINDS: Final = ("logits", "probabilities", "top_logits", "top_probabilities")
_ARRAYS: Final = (*KINDS, "names", "top_classes", "rest", "classes", "num_classes")


class BadTable(ValueError):
    """A table is not what it has to be; the message says why."""


@dataclass(frozen=True)
class OutputsTable:
    """A table that was checked.

    Attributes:
        kind: one of `KINDS`.
        values: `[N, K]`, or `[N, k]` of the k largest.
        top_classes: their classes `[N, k]`; None: all K are there.
        rest: for `top_logits`, the logsumexp of the other logits relative to the largest `[N]`.
        num_classes: K.
        classes: names of the classes, or None.
        rows: the row of each name; None: row n belongs to sample n of the training split.
        sha256: of the file.
    """

    kind: str
    values: Array
    top_classes: Array | None
    rest: Array | None
    num_classes: int
    classes: tuple[str, ...] | None
    rows: Mapping[str, int] | None
    sha256: bytes

    def __len__(self) -> int:
        return len(self.values)

    def logits(self, rows: Array) -> Tensor:
        """Logits `[B, K]` in float32 of some rows; of probabilities their logarithms.

        Of a table of the largest ones, all other classes share one value, with which their total probability is right.
        """
        found = torch.from_numpy(np.array(self.values[rows], dtype=np.float32))
        if self.top_classes is None:
            return found.clamp(min=LEAST).log() if self.kind == "probabilities" else found
        classes = torch.from_numpy(np.array(self.top_classes[rows], dtype=np.int64))
        others = self.num_classes - classes.shape[1]
        if self.kind == "top_probabilities":
            left = (1 - found.sum(1, keepdim=True)) / max(others, 1)
            each, found = left.clamp(min=LEAST).log(), found.clamp(min=LEAST).log()
        else:
            assert self.rest is not None
            rest = torch.from_numpy(np.array(self.rest[rows], dtype=np.float32)).reshape(-1, 1)
            each = found.max(1, keepdim=True).values + rest - float(np.log(max(others, 1)))
        return each.expand(-1, self.num_classes).scatter(1, classes, found)


def checked_table(
    arrays: Mapping[str, Array], path: Path, classes: tuple[str, ...] | None, values: str | None
) -> OutputsTable:
    """A table from its arrays: `names` `[N]`, one of `KINDS`, `top_classes`, `rest`, `classes`, `num_classes`.

    Args:
        arrays: by name.
        path: the file.
        classes: names of the classes that the user gives; they go before those in the table.
        values: what the numbers are, if the array is called `values`; if it says so itself, this may only repeat it.

    Raises:
        BadTable: something is missing, double, or not what it should be.
    """
    if "values" in arrays:
        if values is None:
            raise BadTable(
                "it does not say what its numbers are: set options.values to 'logits' or 'probabilities'"
            )
        arrays = {**{key: one for key, one in arrays.items() if key != "values"}, values: arrays["values"]}
    for name in arrays:
        if name not in _ARRAYS:
            near = nearest(name, _ARRAYS)
            asked = f", did you mean '{near}'?" if near else ""
            raise BadTable(f"it has an unknown array '{name}'{asked} (allowed: {', '.join(_ARRAYS)})")
    kinds = [kind for kind in KINDS if kind in arrays]
    if len(kinds) != 1:
        has = ", ".join(sorted(arrays)) or "nothing"
        raise BadTable(f"it needs one of {', '.join(KINDS)}; it has {has}")
    (kind,) = kinds
    if values is not None and not kind.endswith(values):
        raise BadTable(f"it holds {kind}, and options.values says '{values}': leave that option out")
    numbers = arrays[kind]
    if numbers.ndim != 2 or not np.issubdtype(numbers.dtype, np.floating) or not len(numbers):
        raise BadTable(f"its {kind} are {numbers.dtype} {list(numbers.shape)}; they must be floats [N, K]")
    names = classes or _texts(arrays, "classes")
    count = _classes(kind, numbers, arrays, names)
    top = None if kind in ("logits", "probabilities") else _top(arrays, numbers)
    rest = _rest(arrays, numbers) if kind == "top_logits" else None
    for start in range(0, len(numbers), _CHUNK):
        stop = start + _CHUNK
        _check_numbers(kind, numbers[start:stop], start)
        if top is not None:
            _check_top(top[start:stop], start, count)
    return OutputsTable(
        kind, numbers, top, rest, count, names, _named_rows(arrays, len(numbers)), _sha256(path)
    )


def _classes(kind: str, numbers: Array, arrays: Mapping[str, Array], names: Sequence[str] | None) -> int:
    count = len(names) if names is not None else None
    if kind in ("logits", "probabilities"):
        if count not in (None, numbers.shape[1]):
            raise BadTable(f"it has {numbers.shape[1]} columns of {kind}, and {count} names of classes")
        count = int(numbers.shape[1])
    elif count is None and "num_classes" in arrays:
        count = int(arrays["num_classes"])
    if count is None:
        raise BadTable(f"with {kind} it must give 'classes' or 'num_classes'; or set options.classes")
    if count < 2 or (kind.startswith("top") and numbers.shape[1] > count):
        raise BadTable(f"it has {count} classes, and {numbers.shape[1]} numbers for each image")
    return count


def _top(arrays: Mapping[str, Array], numbers: Array) -> Array:
    found = arrays.get("top_classes")
    if found is None or found.shape != numbers.shape or not np.issubdtype(found.dtype, np.integer):
        raise BadTable(
            f"its 'top_classes' must be whole numbers {list(numbers.shape)}, the class of each number"
        )
    return found


def _rest(arrays: Mapping[str, Array], numbers: Array) -> Array:
    found = arrays.get("rest")
    if found is None:
        raise BadTable(
            "the largest logits alone do not say how probable the other classes are: give 'rest' [N], the logsumexp of "
            "the others minus the largest, or 'top_probabilities'"
        )
    found = np.asarray(found).reshape(-1)
    if len(found) != len(numbers) or not np.isfinite(found).all():
        raise BadTable(f"its 'rest' must be {len(numbers)} finite numbers")
    return found


def _check_numbers(kind: str, part: Array, start: int) -> None:
    with np.errstate(over="ignore"):
        finite = np.isfinite(part.astype(np.float32)).all(1)  # as they are used later
    if not finite.all():
        raise BadTable(
            f"its {kind} are not finite numbers of 32 bits in row {start + int(np.argmin(finite))}"
        )
    if kind.endswith("logits"):
        return
    numbers = part.astype(np.float64)
    sums, allowed = numbers.sum(1), _ROUNDED if part.dtype.itemsize == 2 else _EXACT
    wrong = (numbers < 0).any(1) | (sums > 1 + allowed)
    if kind == "probabilities":
        wrong |= sums < 1 - allowed
    if wrong.any():
        row = int(np.argmax(wrong))
        lowest = numbers[row].min()
        what = f"one is {lowest:.4g}" if lowest < 0 else f"their sum is {sums[row]:.4g}"
        raise BadTable(f"row {start + row} holds no probabilities: {what}")


def _check_top(part: Array, start: int, count: int) -> None:
    wrong = (part < 0).any(1) | (part >= count).any(1)
    ordered = np.sort(part, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(1)
    for rows, what in ((wrong, f"is not one of the {count} classes"), (twice, "is there twice")):
        if rows.any():
            raise BadTable(f"a class in row {start + int(np.argmax(rows))} of 'top_classes' {what}")


def _texts(arrays: Mapping[str, Array], key: str) -> tuple[str, ...] | None:
    if key not in arrays:
        return None
    found = np.asarray(arrays[key])
    if found.dtype.kind != "U" or found.ndim != 1:
        raise BadTable(f"its '{key}' are {found.dtype} {list(found.shape)}; they must be texts")
    return tuple(str(one) for one in found)


def _named_rows(arrays: Mapping[str, Array], count: int) -> dict[str, int] | None:
    names = _texts(arrays, "names")
    if names is None:
        return None
    if len(names) != count:
        raise BadTable(f"it has {len(names)} names and {count} rows")
    rows = {name: row for row, name in enumerate(_keys(names))}
    if len(rows) < count:
        twice = Counter(_keys(names)).most_common(1)[0][0]
        raise BadTable(f"the name '{twice}' is there twice")
    return rows


def _keys(names: Sequence[str]) -> Iterator[str]:
    return (name.replace("\\", "/").removeprefix("./") for name in names)


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BYTES):
            digest.update(block)
    return digest.digest()
