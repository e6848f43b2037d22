"""Which fields of a spec change results, as the models say it at each field, and where two specs differ in them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from kdcore.json_files import flat
from kdcore.spec.models import RunSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

MARK: Final = "x-changes-results"
"""The key of a field's JSON Schema; false: its value changes no result."""


@functools.cache
def _schema() -> dict[str, Any]:
    return RunSpec.model_json_schema()


@functools.cache
def neutral_fields() -> frozenset[str]:
    """The places of the fields that change no result, such as `data.workers`; what is below one changes none either."""
    schema = _schema()
    found = set[str]()

    def walk(node: dict[str, Any], path: tuple[str, ...]) -> None:
        if node.get(MARK, True) is False:
            found.add(".".join(path))
            return
        for branch in (node, *node.get("anyOf", ())):
            model = schema["$defs"][branch["$ref"].rpartition("/")[2]] if "$ref" in branch else branch
            for name, field in model.get("properties", {}).items():
                walk(field, (*path, name))

    walk(schema, ())
    return frozenset(found)


def changes_results(place: str) -> bool:
    """Whether another value at this place of a spec (`data.workers`, `trackers[0].project`) can change a result."""
    names = place.split("[", 1)[0].split(".")
    return not any(".".join(names[:length]) in neutral_fields() for length in range(1, len(names) + 1))


def with_defaults(spec: dict[str, Any]) -> dict[str, Any]:
    """A resolved spec with defaults for the fields that it lacks, as specs of earlier versions lack new fields."""
    schema = _schema()

    def model_of(node: dict[str, Any]) -> dict[str, Any] | None:
        """The schema of the one model that a field may hold, or None."""
        refs = [branch["$ref"] for branch in (node, *node.get("anyOf", ())) if "$ref" in branch]
        return schema["$defs"][refs[0].rpartition("/")[2]] if len(refs) == 1 else None

    def completed(value: Any, node: dict[str, Any]) -> Any:
        if isinstance(value, list) and "items" in node:
            return [completed(item, node["items"]) for item in value]
        model = node if "properties" in node else model_of(node)
        if model is None or not isinstance(value, dict):
            return value
        found = dict(value)
        for name, field in model.get("properties", {}).items():
            if name in value:
                found[name] = completed(value[name], field)
            elif "default" in field:
                found[name] = field["default"]
            elif field.get("type") == "object":
                found[name] = {}
            elif "$ref" in field:
                found[name] = completed({}, field)
        return found

    whole: dict[str, Any] = completed(spec, schema)
    return whole


class _NoValue:
    """Stands for the value that a spec does not have; `None` would read as a null of the user."""

    def __repr__(self) -> str:
        return "no value"


NO_VALUE: Final = _NoValue()


def spec_changes(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where two resolved specs differ in what changes results: each place, and its two values.

    A field that one of them lacks has its default there: a version of kd with more fields goes on with a run that an
    earlier version began. Any other value that one of them lacks, such as a plugin's new option, is `NO_VALUE`.
    """
    old, new = flat(with_defaults(before), index=None), flat(with_defaults(now), index=None)
    return [
        (place, old.get(place, NO_VALUE), new.get(place, NO_VALUE))
        for place in sorted(old.keys() | new.keys())
        if old.get(place) != new.get(place) and changes_results(place)
    ]


def same_results(one: dict[str, Any], other: dict[str, Any], but: Iterable[str] = ()) -> bool:
    """Whether two resolved specs differ in nothing that changes results, except at the places `but` and below them."""
    skipped = tuple(but)

    def left_out(place: str) -> bool:
        return any(place == one or place.startswith((f"{one}.", f"{one}[")) for one in skipped)

    return all(left_out(place) for place, _, _ in spec_changes(one, other))
