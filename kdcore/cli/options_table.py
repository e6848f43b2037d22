"""A distiller's options as rows, from the JSON Schema of its pydantic model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kdcore.cli.output import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

_TYPES = {"number": "float", "integer": "int", "boolean": "bool", "string": "text", "object": "object"}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def option_rows(model: type[BaseModel]) -> list[dict[str, Any]]:
    """For each option: name, type (with its range), default, whether it is required, and meaning."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "type": type_text(about, definitions),
            "required": name in required,
            "default": about.get("default"),
            "meaning": about.get("description", ""),
        }
        for name, about in schema.get("properties", {}).items()
    ]


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for people."""
    cells = [
        [
            row["name"],
            row["type"],
            "(required)" if row["required"] else json.dumps(row["default"]),
            row["meaning"],
        ]
        for row in rows
    ]
    return table(["name", "type", "default", "meaning"], cells)


def type_text(about: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON Schema in a few words: `float >= 0`, `"a" | "b"`, `list of int`."""
    if "$ref" in about:
        return type_text(definitions.get(about["$ref"].rpartition("/")[2], {}), definitions)
    if "const" in about:
        return json.dumps(about["const"])
    if "enum" in about:
        return " | ".join(json.dumps(value) for value in about["enum"])
    for key in ("anyOf", "oneOf"):
        if key in about:
            return " | ".join(dict.fromkeys(type_text(part, definitions) for part in about[key]))
    kind = about.get("type")
    if kind == "array":
        return f"list of {type_text(about.get('items', {}), definitions)}"
    if kind is None:
        return "any"
    bounds = [f"{sign} {about[key]:g}" for key, sign in _BOUNDS.items() if key in about]
    return " ".join([_TYPES.get(kind, kind), ", ".join(bounds)]).strip()
