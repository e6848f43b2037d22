"""The distillers of a kind, and with or without a need. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.entries import KINDS, NEEDS, TASKS, DistillerEntry
from kdcore.errors import Problem, UserError, nearest
from kdcore.plugins import get_plugins

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.plugins import Provided


def chosen(
    kind: str | None, needs: Iterable[str], without: Iterable[str], task: str | None = None
) -> tuple[Provided[DistillerEntry], ...]:
    """What `kdcore.list_distillers` returns."""
    needed, unneeded = [*needs], [*without]
    for where, what, values, allowed in (
        ("--kind", "kind", [] if kind is None else [kind], KINDS),
        ("--needs", "need", needed, NEEDS),
        ("--without", "need", unneeded, NEEDS),
        ("--task", "task", [] if task is None else [task], TASKS),
    ):
        for value in values:
            if value not in allowed:
                close = nearest(value, allowed)
                raise UserError(
                    Problem(
                        where, f"there is no such {what}", value, allowed=", ".join(allowed), nearest=close
                    )
                )

    def fits(entry: DistillerEntry) -> bool:
        if kind is not None and entry.kind != kind:
            return False
        if task is not None and not entry.works_with(task):
            return False
        if entry.needs is None:
            return not needed and not unneeded
        return set(needed) <= set(entry.needs) and not set(unneeded) & set(entry.needs)

    return tuple(item for item in get_plugins().all(DistillerEntry) if fits(item.entry))
