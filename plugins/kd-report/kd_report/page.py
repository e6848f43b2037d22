"""Pages: jinja2 templates around figures, one style sheet, nothing from elsewhere."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from kd_report.charts import styles
from kdcore import Problem, UserError
from kdcore.plugin import percent, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OWN: Final = "kd_report"


def render(template: str, values: Mapping[str, Any], package: str = _OWN) -> str:
    """A page from its template; every text in it is escaped.

    Args:
        template: a file in the folder `templates` of the package. It may extend `base.html` and include `section.html`.
        values: the template's variables.
        package: the package that has the template.
    """
    text = _environment(package).get_template(template).render(**values)
    # the name of a file that is not UTF-8 has letters that no page can have
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_page(target: Path, page: str, flag: str = "--output") -> None:
    """Write a page.

    Raises:
        UserError: it cannot be written; the problem is placed at the flag that names the file.
    """
    try:
        write_text(target, page)
    except OSError as error:
        raise UserError(Problem(flag, f"{target} cannot be written: {error.strerror}")) from error


@cache
def _environment(package: str) -> Environment:
    packages = dict.fromkeys((package, _OWN))
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in packages]),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = PackageLoader(_OWN).get_source(environment, "style.css")[0]
    environment.globals["style"] = styles() + Markup(style)  # noqa: S704  # the project's own file
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    environment.filters["percent"] = percent
    return environment
