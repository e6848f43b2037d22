"""Whose a class is, for messages about what its objects do."""

from __future__ import annotations

from kdcore.plugins import get_plugins


def owned(role: str, thing: object) -> str:
    """A role with the plugin that declares the object's class: `adapter of plugin kd-mine 1.0`, or the role alone."""
    kind = type(thing)
    target = f"{kind.__module__}:{kind.__qualname__}"
    for info in get_plugins().infos:
        if any(getattr(entry, "target", None) == target for entry in info.entries):
            return f"{role} of plugin {info.label}"
    return role
