"""What the commands do, as functions with typed results: for notebooks and other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore.commands.distillers import chosen
from kdcore.entries import AdapterEntry, DatasetEntry
from kdcore.plugins import Plugins, get_plugins
from kdcore.plugins.manager import warn_on_stderr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kdcore.entries import DistillerEntry
    from kdcore.plugins import PluginInfo, Provided
    from kdcore.run.preflight import Preflight
    from kdcore.spec.loaded import LoadedSpec
    from kdcore.spec.models import RunSpec
    from kdcore.spec.recipes import Recipe
    from kdcore.teacher_cache.listing import CacheCheck, CacheInfo


def validate(
    spec: RunSpec | LoadedSpec | Mapping[str, Any] | str | Path, *, overrides: Sequence[str] = ()
) -> Preflight:
    """Find every mistake in a spec before anything is trained, as `kd validate` does; takes what `run` takes.

    Raises:
        UserError: with every problem that was found.
    """
    from kdcore.run.preflight import check
    from kdcore.run.settle import settled

    plugins = get_plugins()
    return check(settled(spec, overrides, None, plugins), plugins)


def list_distillers(
    *,
    kind: str | None = None,
    needs: Iterable[str] = (),
    without: Iterable[str] = (),
    task: str | None = None,
) -> tuple[Provided[DistillerEntry], ...]:
    """The distillers that a spec can name.

    Args:
        kind: only those of this kind.
        needs: only those that need all of these, in the words of `DistillerEntry.needs`.
        without: only those that need none of these; what does not say what it needs is left out.
        task: only those for this task, `classes` or `labels`.

    Raises:
        UserError: there is no such kind, need or task.
    """
    return chosen(kind, needs, without, task)


def list_adapters() -> tuple[Provided[AdapterEntry], ...]:
    """The feature adapters."""
    return tuple(get_plugins().all(AdapterEntry))


def list_datasets() -> tuple[Provided[DatasetEntry], ...]:
    """The registered datasets."""
    return tuple(get_plugins().all(DatasetEntry))


def list_recipes() -> tuple[Recipe, ...]:
    """The papers' ways of training that a spec can stand on."""
    from kdcore.spec.recipes import recipes

    return recipes(get_plugins(), warn_on_stderr)


def list_plugins() -> tuple[PluginInfo, ...]:
    """The plugins as they are installed now: what each adds, and why one is broken."""
    return tuple(Plugins.discover(strict=False).infos)


def schema() -> dict[str, Any]:
    """The JSON Schema of a run spec, with the options of every installed distiller."""
    from kdcore.spec.load import spec_schema

    return spec_schema(get_plugins())


def list_caches(folders: Iterable[str | Path] = ("runs",)) -> tuple[CacheInfo, ...]:
    """The teacher caches in and below folders.

    Raises:
        UserError: a folder does not exist.
    """
    from kdcore.teacher_cache.listing import find_caches

    return tuple(find_caches(Path(folder) for folder in folders))


def show_cache(path: str | Path) -> CacheInfo:
    """What a teacher cache holds.

    Raises:
        UserError: it is not a cache.
    """
    from kdcore.teacher_cache.listing import look_at

    return look_at(Path(path))


def check_cache(path: str | Path) -> CacheCheck:
    """Read all rows of a teacher cache and compare them with their checksums.

    Raises:
        UserError: it is not a cache.
    """
    from kdcore.teacher_cache.listing import CacheCheck, damaged_rows

    info = show_cache(path)
    return CacheCheck(info, tuple(damaged_rows(info)))


def remove_cache(path: str | Path) -> CacheInfo:
    """Delete a teacher cache; what it was.

    Raises:
        UserError: it is not a cache.
    """
    from kdcore.teacher_cache.listing import remove

    info = show_cache(path)
    remove(info)
    return info
