"""In the JSON Schema of a spec: the options of plugins' models, datasets and transforms, where one is named."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from kdcore.entries import DatasetEntry, ModelEntry, TransformEntry
from kdcore.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import BaseModel

    from kdcore.plugins import Plugins, Provided

Schema = dict[str, Any]
_NO_OPTIONS: Final[Schema] = {"type": "object", "additionalProperties": False}


def add_options(defs: Schema, plugins: Plugins, warn: Callable[[str], None]) -> None:
    """Add to the sections of `defs` what `options` may be next to each name; unknowns are reported to `warn`."""
    models = list(_rules("model", plugins.all(ModelEntry), defs, plugins, warn))
    datasets = list(_rules("dataset", plugins.all(DatasetEntry), defs, plugins, warn))
    for section, rules in (("ModelSpec", models), ("TeacherSpec", models), ("DataSpec", datasets)):
        if rules:
            defs[section]["allOf"] = rules


def add_transforms(defs: Schema, plugins: Plugins, warn: Callable[[str], None]) -> None:
    """Add the transforms, each with its options, to the student's section; unknowns are reported to `warn`."""
    items = plugins.all(TransformEntry)
    several = Counter(item.entry.name for item in items)
    branches = [{"type": "string", "minLength": 1}]
    for item in items:
        try:
            model = plugins.load_options(item, "student.transform")
            key, ambiguous = f"transform_{item.qualified}", several[item.entry.name] > 1
            branches.append(named_branch(item, model, item.entry.summary, defs, key=key, ambiguous=ambiguous))
        except Exception as error:  # whatever a plugin's module or types raise
            warn(f"transform {item.qualified} is left out of the schema: {cause(error)}")
    defs.pop("TransformSpec", None)
    field: Schema = defs["ModelSpec"]["properties"]["transform"]
    one: Schema = {"$ref": "#/$defs/Transform"}
    defs["Transform"] = {"anyOf": branches} if items else {"type": ["string", "object"]}
    defs["ModelSpec"]["properties"]["transform"] = {
        "description": field["description"],
        "anyOf": [one, {"type": "array", "items": one, "minItems": 1}, {"type": "null"}],
    }


def named_branch(
    item: Provided[Any], model: type[BaseModel] | None, about: str, defs: Schema, *, key: str, ambiguous: bool
) -> Schema:
    """The schema of an object that has the name of a plugin's thing, and its options next to it.

    Args:
        item: the thing.
        model: its options; None: it has none.
        about: what it is.
        defs: the definitions of the schema, to which those of its options are added.
        key: for their names.
        ambiguous: whether another plugin has something of this name, so that only `plugin/name` is clear.
    """
    options = _own_schema(model, key, defs) if model is not None else _NO_OPTIONS
    names = [item.qualified] if ambiguous else [item.entry.name, item.qualified]
    return {
        **options,
        "title": item.entry.name,
        "description": about,
        "properties": {"name": {"enum": names, "description": about}, **options.get("properties", {})},
        "required": ["name", *options.get("required", ())],
    }


def cause(error: Exception) -> str:
    """Why a part is left out of the schema."""
    if isinstance(error, UserError):
        return error.problems[0].message
    return f"{type(error).__name__}: {error}"


def _own_schema(model: type[BaseModel], key: str, defs: Schema) -> Schema:
    """The schema of options, whose own definitions are added to those of the spec's under names of their own."""
    key = re.sub(r"\W", "_", key)
    options: Schema = model.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}")
    defs.update({f"{key}.{name}": part for name, part in options.pop("$defs", {}).items()})
    return options


def _rules(
    role: str,
    items: Iterable[Provided[Any]],
    defs: Schema,
    plugins: Plugins,
    warn: Callable[[str], None],
) -> Iterator[Schema]:
    """A rule for each options model, which several things may share."""
    sharing: dict[str, list[Provided[Any]]] = {}
    for item in items:
        if item.entry.options is not None:
            sharing.setdefault(item.entry.options, []).append(item)
    for named, members in sharing.items():
        try:
            model = plugins.load_options(members[0], role)
            assert model is not None
            options = _own_schema(model, named, defs)
        except Exception as error:  # whatever a plugin's module or types raise
            labels = ", ".join(item.qualified for item in members)
            warn(f"the options of {role} {labels} are left out of the schema: {cause(error)}")
            continue
        options.pop("required", None)  # a run directory may say it
        names = sorted({name for item in members for name in (item.entry.name, item.qualified)})
        yield {
            "if": {"properties": {role: {"enum": names}}, "required": [role]},
            "then": {"properties": {"options": options}},
        }
