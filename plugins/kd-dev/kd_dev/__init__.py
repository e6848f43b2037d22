"""For authors of plugins: `kd new-plugin`, and the conformance kit, which is `kd_dev.testing`.

`from kd_dev import new_plugin` imports what it needs when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_dev.render import NewPlugin as NewPlugin
    from kd_dev.render import new_plugin as new_plugin

_NAMES: Final = ("NewPlugin", "new_plugin")
__all__ = ["NewPlugin", "new_plugin"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kd_dev import render

    return getattr(render, name)
