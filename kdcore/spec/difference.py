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
def neutral_fields() -> frozenset[str]:
    """The places of the fields that change no result, such as `data.workers`; what is below one changes none either."""
    schema = RunSpec.model_json_schema()
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


def spec_changes(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where two resolved specs differ in what changes results: each place, and its two values."""
    old, new = flat(before, index=None), flat(now, index=None)
    return [
        (place, old.get(place), new.get(place))
        for place in sorted(old.keys() | new.keys())
        if old.get(place) != new.get(place) and changes_results(place)
    ]


def same_results(one: dict[str, Any], other: dict[str, Any], but: Iterable[str] = ()) -> bool:
    """Whether two resolved specs differ in nothing that changes results, except below the top-level keys `but`."""
    skipped = frozenset(but)
    return not any(place.partition(".")[0] not in skipped for place, _, _ in spec_changes(one, other))
