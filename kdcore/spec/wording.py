"""A JSON Schema in plain words: what is allowed at a place of the spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.spec.place import Path

Schema = dict[str, Any]

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "string": "text",
}
_HUGE = 2**53


def find(schema: Schema, path: Path) -> Schema | None:
    """The part of a schema that describes what stands at `path`, or None where it describes nothing."""
    node: Schema | None = resolved(schema, schema)
    for step in path:
        if node is None:
            return None
        node = _step(schema, node, step)
    return node


def resolved(root: Schema, node: Schema) -> Schema:
    """The node itself, or what its reference leads to, with what stands next to the reference."""
    while "$ref" in node:
        target: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def branches(root: Schema, node: Schema) -> Iterator[Schema]:
    """The alternatives that a node allows, or the node itself."""
    node = resolved(root, node)
    inner = node.get("anyOf") or node.get("oneOf")
    if inner is None or "x-words" in node:
        yield node
    else:
        for branch in inner:
            yield from branches(root, branch)


def keys(root: Schema, node: Schema) -> list[str]:
    """The keys of an object."""
    return [key for branch in branches(root, node) for key in branch.get("properties", {})]


def words(root: Schema, node: Schema, *, ranges: bool = True) -> str:
    """What a node allows, such as `a number above 0, or null`; without its range if `ranges` is false."""
    found = list(dict.fromkeys(_one(root, branch, ranges) for branch in branches(root, node)))
    if len(found) == 1:
        return found[0]
    return f"{', '.join(found[:-1])}{',' if ranges else ''} or {found[-1]}"


def _step(root: Schema, node: Schema, step: str | int) -> Schema | None:
    for branch in [resolved(root, item) for item in (node.get("anyOf") or node.get("oneOf") or [node])]:
        if isinstance(step, str) and branch.get("type") == "array" and isinstance(branch.get("items"), dict):
            branch = resolved(root, branch["items"])  # one distiller may stand without a list around it
        found: Any = None
        if isinstance(step, str):
            found = branch.get("properties", {}).get(step)
        elif step < len(branch.get("prefixItems", ())):
            found = branch["prefixItems"][step]
        elif isinstance(branch.get("items"), dict):
            found = branch["items"]
        if isinstance(found, dict):
            return resolved(root, found)
    return None


def _one(root: Schema, node: Schema, ranges: bool) -> str:
    if "x-words" in node:
        return str(node["x-words"])
    if "const" in node:
        return _literal(node["const"])
    if "enum" in node:
        return ", ".join(_literal(value) for value in node["enum"])
    kind = node.get("type")
    if kind == "array":
        return _array(root, node, ranges)
    if kind == "object" or "properties" in node:
        named = list(node.get("properties", {}))
        return f"an object of {', '.join(named)}" if named and ranges else "an object"
    if kind == "string" and ranges and "pattern" in node:
        return f"text of the form {node['pattern']}"
    text = _TYPES.get(str(kind), "any value")
    return f"{text}{_range(node)}" if ranges else text


def _array(root: Schema, node: Schema, ranges: bool) -> str:
    if "prefixItems" in node:
        inner = {words(root, item, ranges=ranges) for item in node["prefixItems"]}
        kinds = (
            " and ".join(sorted(inner))
            .replace("a whole number", "whole numbers")
            .replace("a number", "numbers")
        )
        return f"a list of {len(node['prefixItems'])} {kinds}"
    if not isinstance(node.get("items"), dict):
        return "a list"
    inner_words = words(root, node["items"], ranges=False)
    plural = {
        "a whole number": "whole numbers",
        "a number": "numbers",
        "text": "texts",
        "an object": "objects",
    }
    return f"a list of {plural.get(inner_words, inner_words)}"


def _range(node: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    high = None if high is not None and high >= _HUGE else high
    below = None if below is not None and below >= _HUGE else below
    if low is not None and high is not None:
        return f" from {_literal(low)} to {_literal(high)}"
    first = (
        f"{_literal(low)} or more"
        if low is not None
        else f"above {_literal(above)}"
        if above is not None
        else ""
    )
    last = (
        f"up to {_literal(high)}"
        if high is not None
        else f"below {_literal(below)}"
        if below is not None
        else ""
    )
    if low is not None:
        return f", {first}{f' and {last}' if last else ''}"
    return f" {' and '.join(filter(None, (first, last)))}" if first or last else ""


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)
