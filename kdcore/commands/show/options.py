"""The options of a distiller, dataset or model, from the JSON Schema of their pydantic model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

_TYPES = {"number": "float", "integer": "int", "boolean": "bool", "string": "text", "object": "object"}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option.

    Attributes:
        name: its key in a spec.
        type: in a few words, with its range: `float >= 0`.
        required: whether it has to be given.
        default: JSON-ready; None where it is required.
        meaning: what it does.
    """

    name: str
    type: str
    required: bool
    default: Any
    meaning: str


def options_of(model: type[BaseModel]) -> tuple[OptionInfo, ...]:
    """The options that a pydantic model has, in its order."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    return tuple(
        OptionInfo(
            name=name,
            type=type_text(about, definitions),
            required=name in required,
            default=about.get("default"),
            meaning=about.get("description", ""),
        )
        for name, about in schema.get("properties", {}).items()
    )


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
