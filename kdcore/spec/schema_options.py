"""In the JSON Schema of a spec: the options of plugins' models and datasets, where one of them is named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kdcore.entries import DatasetEntry, ModelEntry
from kdcore.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kdcore.plugins import Plugins, Provided

Schema = dict[str, Any]


def add_options(defs: Schema, plugins: Plugins, warn: Callable[[str], None]) -> None:
    """Add to the sections of `defs` what `options` may be next to each name; unknowns are reported to `warn`."""
    models = list(_rules("model", plugins.all(ModelEntry), defs, plugins, warn))
    datasets = list(_rules("dataset", plugins.all(DatasetEntry), defs, plugins, warn))
    for section, rules in (("ModelSpec", models), ("TeacherSpec", models), ("DataSpec", datasets)):
        if rules:
            defs[section]["allOf"] = rules


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
        key = re.sub(r"\W", "_", named)
        try:
            model = plugins.load_options(members[0], role)
            assert model is not None
            options = model.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}")
        except Exception as error:  # whatever a plugin's module or types raise
            labels = ", ".join(item.qualified for item in members)
            told = (
                error.problems[0].message
                if isinstance(error, UserError)
                else f"{type(error).__name__}: {error}"
            )
            warn(f"the options of {role} {labels} are left out of the schema: {told}")
            continue
        defs.update({f"{key}.{name}": part for name, part in options.pop("$defs", {}).items()})
        options.pop("required", None)  # a run directory may say it
        names = sorted({name for item in members for name in (item.entry.name, item.qualified)})
        yield {
            "if": {"properties": {role: {"enum": names}}, "required": [role]},
            "then": {"properties": {"options": options}},
        }
