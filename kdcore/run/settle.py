"""From the arguments of a call to a checked spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore import launcher
from kdcore.spec.load import LoadedSpec, load_dict, load_spec, resolve
from kdcore.spec.models import RunSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.plugins import Plugins


def settled(
    spec: RunSpec | LoadedSpec | Mapping[str, Any] | str | Path,
    overrides: Sequence[str],
    output: str | Path | None,
    plugins: Plugins,
) -> LoadedSpec:
    """Load a spec from its file, or take one made in Python, and check it.

    Raises:
        UserError: lists every problem that was found.
    """
    if isinstance(spec, str | Path):
        return load_spec(Path(spec), overrides=overrides, output=output, plugins=plugins)
    if isinstance(spec, Mapping):
        return load_dict(spec, base=Path.cwd(), overrides=overrides, output=output, plugins=plugins)
    if isinstance(spec, RunSpec):
        chosen = spec if output is None else spec.model_copy(update={"output": str(output)})
        return resolve(chosen, base=Path.cwd(), plugins=plugins)
    return spec


def is_main_process() -> bool:
    """Whether this process writes the files; read from the launcher's variables, before the processes have met."""
    return launcher.rank() == 0
