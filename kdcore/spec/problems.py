"""pydantic's errors as problems that a stranger can act on: the place in the spec, and plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, listed, nearest
from kdcore.spec.place import Fault, Path, place
from kdcore.spec.wording import Schema, branches, find, keys, words

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_ABSENT: Final = object()
_RANGES: Final = {
    "greater_than": "it must be above {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be below {lt}",
    "less_than_equal": "it must be {le} or less",
    "multiple_of": "it must be a multiple of {multiple_of}",
    "finite_number": "a number must be finite",
    "string_too_short": "this text is too short (at least {min_length})",
    "string_too_long": "this text is too long (at most {max_length} characters)",
    "too_short": "this list is too short (at least {min_length})",
    "too_long": "this list is too long (at most {max_length})",
    "string_pattern_mismatch": "this text has another form than what is allowed",
    "literal_error": "it is not one of the choices",
    "enum": "it is not one of the choices",
    "recursion_loop": "its values are nested without end",
}
_KINDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (Mapping, "an object"),
    ((list, tuple), "a list"),
)


def faults(
    error: ValidationError, raw: Any, schema: Schema, prefix: Path = (), *, owner: str = ""
) -> list[Fault]:
    """Every problem of a validation error.

    `raw` is what was validated, `schema` the JSON Schema of its model, `prefix` where it stands in the spec, and
    `owner` what it is, for unknown keys: `distiller 'mine'`.
    """
    grouped: dict[Path, list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        grouped.setdefault(_path(item, raw), []).append(item)
    return [
        Fault((*prefix, *path), _problem((*prefix, *path), path, items, raw, schema, owner))
        for path, items in grouped.items()
    ]


def _path(error: ErrorDetails, raw: Any) -> Path:
    """The error's place without the branches of unions and the wrappers that pydantic adds to it."""
    path: list[str | int] = []
    node = raw
    absent = error["type"] in ("missing", "extra_forbidden")
    for number, step in enumerate(error["loc"]):
        last = number == len(error["loc"]) - 1
        if isinstance(node, Mapping):
            if step in node:
                node = node[step]
            elif last and absent:
                node = _ABSENT
            else:
                continue
        elif isinstance(node, list | tuple) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _problem(
    where: Path, path: Path, errors: list[ErrorDetails], raw: Any, schema: Schema, owner: str
) -> Problem:
    error = errors[0]
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(where, path, error["input"], schema, owner)
    node = find(schema, path)
    allowed = None if node is None else words(schema, node)
    if kind == "missing":
        if _value(raw, path) is not _ABSENT:  # an item of a list that has to have more of them
            return Problem(place(where), f"{allowed} is wanted", value=_value(raw, path))
        hint = None if node is None else node.get("description")
        return Problem(place(where), "this is missing", allowed=allowed, hint=hint)
    value = _value(raw, path)
    # a section is too much to show, and what is wrong with it is in the message
    given: dict[str, Any] = (
        {} if value is _ABSENT or not path or isinstance(value, Mapping) else {"value": value}
    )
    near = None
    if kind in ("value_error", "assertion_error"):
        message, allowed = str(error.get("ctx", {}).get("error", error["msg"])), None
    elif len({item["type"] for item in errors}) > 1:
        message = "it is not an allowed value"
    elif value == "" and kind == "string_too_short":
        message = "this must not be empty"
    elif kind in _RANGES:
        message = _RANGES[kind].format_map(_Plain(error.get("ctx", {})))
    elif kind == "none_required":
        message = "only null is allowed here"
    elif node is not None and kind.endswith(("_type", "_parsing", "_from_float", "_parsing_size")):
        wanted = "another type" if "x-words" in node else words(schema, node, ranges=False)
        message = f"{wanted} is wanted, not {_kind(value)}"
    else:
        message = _unjargoned(error["msg"])
    if node is not None and isinstance(value, str):
        near = nearest(value, _choices(schema, node))
    hint = "leave it out for its default" if value is None and not _required(schema, path) else None
    return Problem(place(where), message, **given, allowed=allowed, nearest=near, hint=hint)


def _unknown_key(where: Path, path: Path, value: Any, schema: Schema, owner: str) -> Problem:
    parent = find(schema, path[:-1])
    known = [] if parent is None else keys(schema, parent)
    key = str(path[-1])
    near = nearest(key, known)
    home = place(where[:-1])
    of = owner or (f"'{home}'" if home else "a spec")
    elsewhere = (
        []
        if owner
        else [place((*section, key)) for section in _sections(schema) if key in _keys_of(schema, section)]
    )
    hint = (
        f"did you mean {' or '.join(repr(item) for item in elsewhere)}?"
        if elsewhere and near is None
        else None
    )
    return Problem(
        place(where),
        f"{of} has no key '{place((key,))}'",
        value=value,
        nearest=near,
        allowed=listed(known, 20),
        hint=hint,
    )


def _sections(schema: Schema) -> Iterable[Path]:
    for name in schema.get("properties", {}):
        yield (name,)
    yield ("data", "augment")


def _keys_of(schema: Schema, section: Path) -> list[str]:
    node = find(schema, section)
    if node is not None and node.get("type") == "array":
        # one teacher stands without a list; distillers take keys of their own
        items = find(schema, (*section, 0)) or {}
        node = items if items.get("additionalProperties") is False else None
    return [] if node is None else keys(schema, node)


def _value(raw: Any, path: Path) -> Any:
    for step in path:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return raw


def _choices(schema: Schema, node: Schema) -> list[str]:
    found = [
        value for branch in branches(schema, node) for value in (*branch.get("enum", ()), branch.get("const"))
    ]
    return [value for value in found if isinstance(value, str)]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), type(value).__name__)


def _required(schema: Schema, path: Path) -> bool:
    parent = find(schema, path[:-1])
    return parent is None or not path or path[-1] in parent.get("required", ())


def _unjargoned(message: str) -> str:
    text = (
        message.replace("Input should be", "it must be")
        .replace("Input should", "it must")
        .replace("Input", "it")
    )
    return text[:1].lower() + text[1:]


class _Plain(dict[str, Any]):
    """Limits as people write them: 0 rather than 0.0."""

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, "the limit")
        return int(value) if isinstance(value, float) and value.is_integer() else value
