"""Filter the candidates that the user has disabled, by the name of the plugin or of its distribution."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from kdcore.errors import nearest
from kdcore.plugins.records import Candidate, normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DISABLE: Final = "KD_DISABLE_PLUGINS"
STRICT: Final = "KD_STRICT_PLUGINS"
CORE: Final = "kdcore"


def disabled_names() -> tuple[str, ...]:
    """The names in `KD_DISABLE_PLUGINS`; `*` stands for all."""
    return tuple(name.strip() for name in os.environ.get(DISABLE, "").split(",") if name.strip())


def strict() -> bool:
    """Whether `KD_STRICT_PLUGINS` makes a broken plugin an error."""
    return os.environ.get(STRICT, "").strip().lower() not in ("", "0", "false", "no", "off")


def is_disabled(candidate: Candidate, disabled: Iterable[str]) -> bool:
    """Whether the candidate has one of the names, compared as in PEP 503."""
    return any(name == "*" or normalised(name) in candidate.names for name in disabled)


def unmatched(disabled: Iterable[str], candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """A warning line for each name that disables nothing, with the nearest name of a plugin."""
    known = {name: candidate.name for candidate in candidates for name in candidate.names}
    lines = []
    for name in disabled:
        if name == "*" or normalised(name) in known:
            continue
        if normalised(name) == CORE:
            lines.append(f"{DISABLE}: 'kdcore' itself cannot be disabled")
            continue
        near = nearest(normalised(name), known)
        meant = f"; did you mean {near!r}?" if near else ""
        lines.append(f"{DISABLE}: no plugin is called {name!r}{meant}")
    return tuple(lines)
