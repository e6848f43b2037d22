"""The comparison's page: one file that needs no network."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from kdcore.comparison.plots import STYLE, curves_svg, dark_style, gains_svg, scores_svg
from kdcore.comparison.table import best, caption, cells, duration, head

if TYPE_CHECKING:
    from kdcore.comparison.result import ComparisonResult


def page(result: ComparisonResult) -> str:
    """The result as HTML."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files("kdcore.comparison") / "page.html.jinja").read_text("utf-8"))
    ranked = result.ranked()
    plots = [gains_svg(result), scores_svg(result), curves_svg(result)]
    return (
        template.render(
            result=result,
            name=result.directory.name,
            head=head(result),
            rows=[(row, cells(result, row), row.label == best(result)) for row in ranked],
            caption=caption(result),
            plots=[Markup(plot) for plot in plots if plot],  # noqa: S704  # made here, texts escaped
            plot_style=Markup(STYLE),  # noqa: S704
            dark_style=Markup(dark_style()),  # noqa: S704
            seconds=duration(result.seconds),
            failures=result.failures(),
        )
        + "\n"
    )
