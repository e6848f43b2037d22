"""The page itself: jinja2 templates around figures, one style sheet, nothing from elsewhere."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from kdcore.commands.charts import styles
from kdcore.text import percent

if TYPE_CHECKING:
    from collections.abc import Mapping


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page from its template; every text in it is escaped."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kdcore.commands.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None
    style = loader.get_source(environment, "style.css")[0]
    environment.globals["style"] = styles() + Markup(style)  # noqa: S704  # the project's own file
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    environment.filters["percent"] = percent
    return environment
