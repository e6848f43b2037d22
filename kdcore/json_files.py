"""JSON files: read with their shape checked, or one error that says what is wrong; and nested values made flat."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kdcore.text import byte_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEEPEST: Final = 100
"""Most levels of objects and lists inside each other; the files that kd writes have far fewer."""
_MOST_BYTES: Final = 2**28

NUMBER: Final = (int, float)
Shape = Any
"""What a value must be: a type or several types; `[shape]`, a list of that shape; a dict: the shapes of an object's
values; `({...}, [{...}])`: such an object, or a list of them.

A key of the dict may be missing in the object, or null, unless the key ends with `!`. The key `*` is for all keys that
are not named. A value without a shape may be anything.
"""


class DamagedJson(ValueError):
    """The content is not what kd wrote; the message says what is wrong, without the file's name."""


def read_json(path: Path, shape: Shape = dict) -> Any:
    """The value in a file.

    Raises:
        OSError: the file cannot be read.
        DamagedJson: the content is not JSON of this shape.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DamagedJson(f"it has more than {byte_size(_MOST_BYTES)}")
    return parse_json(content, shape)


def read_json_lines(path: Path, shape: Shape = dict) -> list[Any]:
    """The values of a file with one value on each line; raises as `read_json` does."""
    lines = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(parse_json(line, shape))
        except DamagedJson as error:
            raise DamagedJson(f"line {number}: {error}") from error
    return found


def parse_json(content: str | bytes, shape: Shape = dict) -> Any:
    """The value in a text; raises DamagedJson if it is not JSON of this shape."""
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        value = json.loads(text)
    except UnicodeDecodeError as error:
        raise DamagedJson("it is not UTF-8") from error
    except RecursionError as error:
        raise DamagedJson("its values are nested too deeply") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        reason = "it is empty" if not text.strip() else f"it is not valid JSON: {error.msg} ({place})"
        raise DamagedJson(reason) from error
    except ValueError as error:  # such as a number with more digits than Python reads
        raise DamagedJson(f"a value cannot be read: {error}") from error
    if _too_deep(value):
        raise DamagedJson("its values are nested too deeply")
    wrong = _misfit(value, shape, "")
    if wrong is not None:
        raise DamagedJson(wrong)
    return value


def _too_deep(value: Any) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            return True
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
    return False


def _misfit(value: Any, shape: Shape, where: str) -> str | None:
    """What is wrong with the first value of a wrong type, or None."""
    if isinstance(shape, tuple) and isinstance(shape[0], dict):  # an object, or a list of such objects
        shape = shape[1] if isinstance(value, list) else shape[0]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _wrong_type(where, "a list", value)
        parts = [(f"{where}[{number}]", item, shape[0]) for number, item in enumerate(value)]
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            return _wrong_type(where, "an object", value)
        missing = next((key[:-1] for key in shape if key.endswith("!") and value.get(key[:-1]) is None), None)
        if missing is not None:
            return f"'{_below(where, missing)}' is missing"
        parts = [
            (_below(where, key), item, found)
            for key, item in value.items()
            if item is not None
            and (found := shape.get(key, shape.get(f"{key}!", shape.get("*")))) is not None
        ]
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        return None if fits else _wrong_type(where, " or ".join(_KINDS[kind] for kind in kinds), value)
    return next((wrong for part in parts if (wrong := _misfit(part[1], part[2], part[0])) is not None), None)


def _below(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _wrong_type(where: str, allowed: str, value: Any) -> str:
    what = f"'{where}'" if where else "it"
    return f"{what} is {_KINDS.get(type(value), 'null')}, not {allowed}"


_KINDS: Final[dict[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def flat(value: Any, *, joint: str = ".", index: str | None = "[{}]") -> dict[str, Any]:
    """The values of nested objects by their places: `{"a": {"b": 1}}` becomes `{"a.b": 1}`.

    `index` is how a place names an item of a list of objects; None: lists are values. An empty object or list is a
    value, and tuples become lists.
    """
    return dict(_flat(value, joint, index, ""))


def _flat(value: Any, joint: str, index: str | None, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, joint, index, f"{path}{joint}{key}" if path else str(key))
    elif index is not None and isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, joint, index, path + index.format(number))
    else:
        yield path, list(value) if isinstance(value, tuple) else value
