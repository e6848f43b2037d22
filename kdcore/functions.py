"""What the commands do, as functions with typed results: for notebooks and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.plugins import get_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from kdcore.engine.preflight import Preflight
    from kdcore.entries import AdapterEntry, DatasetEntry, DistillerEntry
    from kdcore.plugins import Provided
    from kdcore.recipes import Recipe
    from kdcore.spec.loaded import LoadedSpec
    from kdcore.spec.models import RunSpec


def validate(
    spec: RunSpec | LoadedSpec | Mapping[str, Any] | str | Path, *, overrides: Sequence[str] = ()
) -> Preflight:
    """Find every mistake in a spec before anything is trained, as `kd validate` does; takes what `run` takes.

    Raises:
        UserError: with every problem that was found.
    """
    from kdcore.engine.api import settled
    from kdcore.engine.preflight import check

    plugins = get_plugins()
    return check(settled(spec, overrides, None, plugins), plugins)


def list_distillers() -> tuple[Provided[DistillerEntry], ...]:
    """The distillers that a spec can name."""
    return tuple(get_plugins().distillers())


def list_adapters() -> tuple[Provided[AdapterEntry], ...]:
    """The feature adapters."""
    return tuple(get_plugins().adapters())


def list_datasets() -> tuple[Provided[DatasetEntry], ...]:
    """The registered datasets."""
    return tuple(get_plugins().datasets())


def list_recipes() -> tuple[Recipe, ...]:
    """The papers' ways of training that a spec can stand on."""
    from kdcore.recipes import recipes

    return tuple(recipes().values())
