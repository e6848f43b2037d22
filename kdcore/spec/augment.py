"""The text of an automatic augmentation, such as 'rand-m9-mstd0.5', checked without timm: its own errors say little."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kdcore.errors import Problem, nearest

_POLICIES: Final = ("v0", "v0r", "original", "originalr", "3a")
_KINDS: Final = ("rand", "augmix", *_POLICIES)
_SETS: Final = ("weights", "3a", "3aw")
_SECTION: Final = re.compile(r"([a-z]+)(.*)")
_STRENGTH: Final = 10  # timm's highest, unless mmax says another
_WEIGHTED: Final = 14  # steps of the set '3aw'
_WHOLE: Final = re.compile(r"[0-9]+")
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class _Key:
    """A section's number: its range, and whether it is a whole one."""

    least: float
    most: float
    whole: bool = True
    meaning: str = ""

    @property
    def words(self) -> str:
        return f"{'a whole number' if self.whole else 'a number'} from {self.least:g} to {self.most:g}"


_MSTD: Final = _Key(0, 1000, whole=False, meaning="deviation of the strength")
_KEYS: Final = {
    "rand": {
        "m": _Key(0, 30, meaning="strength"),
        "n": _Key(1, 15, meaning="steps on an image"),
        "p": _Key(0, 1, whole=False, meaning="probability of a step"),
        "mstd": _MSTD,
        "mmax": _Key(1, 30, meaning="highest strength"),
        "inc": _Key(0, 1, meaning="strength that grows"),
    },
    "augmix": {
        "m": _Key(0, 10, meaning="strength"),
        "w": _Key(1, 10, meaning="chains that are mixed"),
        "d": _Key(1, 10, meaning="steps of a chain"),
        "a": _Key(0.001, 1000, whole=False, meaning="alpha of the mixture"),
        "b": _Key(0, 1, meaning="mix step by step"),
        "mstd": _MSTD,
    },
    "autoaugment": {"mstd": _MSTD},
}


def auto_augment_problem(text: str) -> Problem | None:
    """What is wrong with the text of `data.augment.auto_augment`; None if nothing is wrong."""
    try:
        _check(text)
    except ValueError as error:
        allowed = "'original', 'v0', '3a', 'rand-m9-mstd0.5', 'augmix-m5-w4-d2' and the like"
        kind = text.partition("-")[0]
        near = nearest(kind, _KINDS)
        near = near + text[len(kind) :] if near and near != kind else None
        return Problem("data.augment.auto_augment", str(error), value=text, allowed=allowed, nearest=near)
    return None


def _check(text: str) -> None:
    """Raises ValueError where timm would not take the text, or take it for something else than what it says."""
    kind, *sections = text.split("-")
    if kind in _POLICIES:
        keys = _KEYS["autoaugment"]
    elif kind in _KEYS and kind != "autoaugment":
        keys = _KEYS[kind]
    else:
        raise ValueError(f"there is no automatic augmentation of the name '{kind}' ({', '.join(_KINDS)})")
    found: dict[str, str] = {}
    for section in sections:
        if kind == "rand" and section.startswith("t"):
            key, value = "t", _set(section)
        else:
            key, value = _number(kind, section, keys)
        if key in found:
            raise ValueError(f"'{kind}' has the part '{key}' twice")
        found[key] = value
    _check_together(found)


def _check_together(found: dict[str, str]) -> None:
    """What timm would cut down in silence, or fail at in the first epoch."""
    highest = int(found.get("mmax", _STRENGTH))
    if int(found.get("m", 0)) > highest:
        more = "" if "mmax" in found else "; mmax raises that, as in 'rand-m15-mmax20'"
        raise ValueError(f"the strength m{found['m']} is above the highest, which is {highest}{more}")
    if found.get("t") == "3aw" and int(found.get("n", 0)) > _WEIGHTED:
        raise ValueError(
            f"'t3aw' has {_WEIGHTED} steps, of which an image gets each once at most: n{found['n']} are more"
        )


def _set(section: str) -> str:
    if section[1:] not in _SETS:
        allowed = ", ".join(f"t{name}" for name in _SETS)
        raise ValueError(f"'{section}' is not a set of steps of 'rand' (allowed: {allowed})")
    return section[1:]


def _number(kind: str, section: str, keys: dict[str, _Key]) -> tuple[str, str]:
    parts = _SECTION.fullmatch(section)
    key = keys.get(parts[1]) if parts is not None else None
    if parts is None or key is None:
        allowed = ", ".join(f"{name} ({one.meaning})" for name, one in keys.items())
        more = ", t (set of steps)" if kind == "rand" else ""
        raise ValueError(f"'{section}' is not a part of '{kind}' (allowed: {allowed}{more})")
    number = parts[2]
    right = (_WHOLE if key.whole else _NUMBER).fullmatch(number) is not None
    # text of a thousand digits is not a number that Python has to read
    if not right or len(number) > 20 or not key.least <= float(number) <= key.most:
        raise ValueError(f"'{section}' of '{kind}': {key.meaning} is {key.words}")
    return parts[1], number
