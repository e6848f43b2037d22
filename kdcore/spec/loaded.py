"""What loading gives: the spec, its distillers, and the spec of the teacher's run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdcore.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.entries import DistillerEntry
    from kdcore.options import DistillerOptions, Schedule
    from kdcore.plugins import Provided
    from kdcore.spec.models import RunSpec


@dataclass(frozen=True, slots=True)
class ResolvedDistiller:
    """A distiller of the spec: what provides it, and its checked options.

    Attributes:
        provided: its declaration, and the plugin that it comes from.
        options: an instance of its options model.
        name: as the spec calls it, `name` or `plugin/name`.
        schedule: when it takes part, and with which factor; None: always, with factor 1.
        teacher: the name of the teacher that it reads, or 'mean' for the mean of all teachers' probabilities; None: the
            only one, or all of them.
    """

    provided: Provided[DistillerEntry]
    options: DistillerOptions
    name: str
    schedule: Schedule | None = None
    teacher: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A spec in which every name is known and every default filled in.

    Attributes:
        spec: with absolute paths, all options of the distillers, and the weight of the task loss.
        path: its file; None for a spec made in Python.
        distillers: in the order of the spec.
        teachers: the spec of each teacher's `run`, by the teacher's name.
        fresh: whether its run will begin anew, so that what its directory holds does not count.
    """

    spec: RunSpec
    path: Path | None
    distillers: tuple[ResolvedDistiller, ...]
    teachers: Mapping[str, LoadedSpec]
    fresh: bool = False

    @property
    def directory(self) -> RunDirectory:
        """Where this spec's run leaves its files, `OUTPUT/NAME`."""
        return RunDirectory(Path(self.spec.output) / self.spec.name)
