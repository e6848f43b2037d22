"""The JSON Schema of a run spec, with the options of every installed distiller, so that an editor completes them."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from kdcore.entries import DistillerEntry
from kdcore.options import Schedule
from kdcore.plugins.roles import ROLES
from kdcore.spec import installed
from kdcore.spec.models import RunSpec
from kdcore.spec.names import DOT
from kdcore.spec.resolve import SCHEDULE, TEACHER
from kdcore.spec.schema_options import add_options, add_transforms, cause, named_branch
from kdcore.text import message
from kdcore.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kdcore.plugins import Plugins, Provided

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# a name, not an address: editors keep apart what they know of several schemas by it
_ID: Final = f"urn:kdcore:run-spec:{__version__}"


def spec_schema(plugins: Plugins, warn: Callable[[str], None] | None = None) -> Schema:
    """The JSON Schema (draft 2020-12) of a run spec.

    A distiller whose options cannot be imported or described is left out, and `warn` gets a line (on
    stderr unless it is given).
    """
    warn = warn or _on_stderr
    schema = RunSpec.model_json_schema()
    defs: Schema = schema["$defs"]
    names: list[str] = []
    branches: list[Schema] = []
    several = Counter(item.entry.name for item in plugins.all(DistillerEntry))
    for item in plugins.all(DistillerEntry):
        try:
            branch = _distiller(item, defs, several[item.entry.name] > 1, plugins)
        except Exception as error:  # whatever a plugin's module or types raise
            warn(f"distiller {item.qualified} is left out of the schema: {cause(error)}")
            continue
        names += branch["properties"]["name"]["enum"]
        branches.append(branch)
    del defs["DistillerSpec"]
    defs["Schedule"] = {"anyOf": [Schedule.model_json_schema(), {"type": "null"}]}
    defs["TeacherName"] = {
        "description": "The teacher that it reads, by name, or 'mean' for the mean of all teachers' probabilities.",
        "anyOf": [{"type": "string"}, {"type": "null"}],
    }
    _one_or_several(schema, "teacher")
    defs["Distiller"] = (
        {"anyOf": [{"type": "string", "enum": names}, *branches]} if branches else {"type": "object"}
    )
    one: Schema = {"$ref": "#/$defs/Distiller"}
    schema["properties"]["distiller"] = {
        "description": schema["properties"]["distiller"]["description"],
        "anyOf": [one, {"type": "array", "items": one, "minItems": 1}],
    }
    schema["properties"]["$schema"] = {"type": "string", "description": "This schema, for editors."}
    _name_known(schema, plugins)
    add_options(defs, plugins, warn)
    add_transforms(defs, plugins, warn)
    return {
        "$schema": _DIALECT,
        "$id": _ID,
        "title": "kd run spec",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _distiller(item: Provided[DistillerEntry], defs: Schema, ambiguous: bool, plugins: Plugins) -> Schema:
    entry = item.entry
    about = entry.summary + (f" {entry.paper.title} ({entry.paper.year})." if entry.paper is not None else "")
    model = plugins.load_options(item, "distiller")
    branch = named_branch(item, model, about, defs, key=item.qualified, ambiguous=ambiguous)
    branch["properties"] |= {
        SCHEDULE: {"$ref": "#/$defs/Schedule"},
        TEACHER: {"$ref": "#/$defs/TeacherName"},
    }
    return branch


def _one_or_several(schema: Schema, name: str) -> None:
    """A section that stands alone, in a list of several, or is null."""
    about: Schema = schema["properties"][name]
    items = about.pop("items")
    for key in ("type", "default", "x-words"):
        about.pop(key, None)
    about["anyOf"] = [items, {"type": "array", "items": items, "minItems": 1}, {"type": "null"}]


def _name_known(schema: Schema, plugins: Plugins) -> None:
    """Add the names that an editor can complete."""
    defs: Schema = schema["$defs"]
    optimizers = sorted(installed.optimizers())
    # names in capitals and those behind 'lookahead_' are taken too
    form = f"^([Ll][Oo][Oo][Kk][Aa][Hh][Ee][Aa][Dd]_)?({'|'.join(_any_case(name) for name in optimizers)})$"
    _replace(
        defs,
        "OptimizerSpec",
        "name",
        [{"enum": sorted([*optimizers, DOT])}, {"type": "string", "pattern": form}],
    )
    _replace(defs, "SchedulerSpec", "name", [{"enum": sorted(installed.SCHEDULERS)}])
    sections = {"RunSpec": schema, **defs}
    for kind, role in ROLES.items():
        names = sorted({name for item in plugins.all(kind) for name in (item.entry.name, item.qualified)})
        for field in role.spec_fields:
            _complete(sections, field, names, open_names=role.open)


def _complete(sections: Schema, field: str, names: list[str], *, open_names: bool) -> None:
    """Where a field takes text, offer these names; `open_names`: other text is right as well."""
    section, _, key = field.partition(".")
    about = sections[section]["properties"][key]
    alternatives: list[Schema] = about.pop("anyOf", None) or [
        {name: about.pop(name) for name in ("type", "minLength") if name in about}
    ]
    found: list[Schema] = []
    for one in alternatives:
        if one.get("type") == "array":
            one = {**one, "items": {"enum": names} if names else one["items"]}
        elif one.get("type") == "string" and names:
            found.append({"enum": names})
            if not open_names:
                continue
        found.append(one)
    about.update(found[0] if len(found) == 1 else {"anyOf": found})


def _any_case(name: str) -> str:
    return "".join(f"[{char.upper()}{char}]" if char.isalpha() else char for char in name)


def _replace(defs: Schema, model: str, field: str, alternatives: Iterable[Schema]) -> None:
    properties = defs[model]["properties"]
    kept = {key: properties[field][key] for key in ("default", "description") if key in properties[field]}
    found = list(alternatives)
    properties[field] = {**kept, **(found[0] if len(found) == 1 else {"anyOf": found})}


def _on_stderr(line: str) -> None:
    if sys.stderr is not None:  # None where the caller closed it
        print(f"warning: {message(line)}", file=sys.stderr, flush=True)
