"""The sections that plugins declare, made for one run; one that fails is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore import ReportSection, SectionEntry, UserError
from kdcore.plugin import PluginError, guarded

if TYPE_CHECKING:
    from kdcore import OpenedRun, Provided
    from kdcore.plugin import Plugins

LEFT_OUT: Final = "Left out"
"""How the line about a section that failed begins."""

_OWN: Final = {"run": "of the page itself"}  # ids that a section cannot have


def collect(run: OpenedRun, plugins: Plugins, notes: list[str]) -> list[ReportSection]:
    """The sections of a run's report by their `order`; `notes` gets a line for each one that is left out."""
    found: list[ReportSection] = []
    owners = dict(_OWN)
    for item in sorted(plugins.all(SectionEntry), key=_place):
        try:
            section = _made(item, run, plugins)
            if section is None:
                continue
            if section.id in owners:
                raise PluginError(f"its id '{section.id}' is that {owners[section.id]}")
        except PluginError as broken:
            notes.append(f"{LEFT_OUT}: {_label(item)}: {broken.error}")
            continue
        owners[section.id] = f"of {_label(item)}"
        found.append(section)
    return found


def _place(item: Provided[SectionEntry]) -> tuple[int, str, str]:
    return item.entry.order, item.entry.name, item.plugin.name


def _label(item: Provided[SectionEntry]) -> str:
    return f"report section '{item.entry.name}' of plugin {item.plugin.label}"


def _made(item: Provided[SectionEntry], run: OpenedRun, plugins: Plugins) -> ReportSection | None:
    """The section of an entry; raises PluginError if its code fails."""
    try:
        target = plugins.load(item, "")
    except UserError as error:
        (problem,) = error.problems
        raise PluginError(problem.message.removeprefix(f"{_label(item)}: ")) from error
    with guarded("it raised "):
        section: object = target(run)
    if section is None or isinstance(section, ReportSection):
        return section
    raise PluginError(
        f"it returned {type(section).__name__}; it must return a kdcore.ReportSection, or nothing"
    )
