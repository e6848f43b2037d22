"""The options of a format: from `--option key=value` or a dict to what the exporter gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kdcore import Problem, UserError
from kdcore.inspect import resolve_options
from kdcore.plugin import key_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from kdcore import ExporterEntry, Provided
    from kdcore.plugin import Plugins

OPTION: Final = "--option"


def options_of(
    provided: Provided[ExporterEntry], given: Mapping[str, Any] | Iterable[str], plugins: Plugins
) -> BaseModel | None:
    """The options of a format with the defaults of those that are not given; None: it has none.

    Raises:
        UserError: an option is wrong, or the format has no options.
    """
    values = parse_options(given)
    found = resolve_options(provided, values, plugins, OPTION)
    if found is None and values:
        raise UserError(
            Problem(OPTION, f"the format {provided.entry.name} has no options", ", ".join(values))
        )
    return found


def has_option(provided: Provided[ExporterEntry], name: str, plugins: Plugins) -> bool:
    """Whether a format has an option of this name."""
    model = plugins.load_options(provided, OPTION)
    return model is not None and name in model.model_fields


def parse_options(given: Mapping[str, Any] | Iterable[str]) -> dict[str, Any]:
    """Options by name, from a dict or from `key=value`, where a value is JSON or text.

    Raises:
        UserError: with every text that has another form.
    """
    if isinstance(given, Mapping):
        return dict(given)
    return key_values([given] if isinstance(given, str) else given, OPTION, "opset=18")
