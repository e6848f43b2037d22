"""One run of a comparison: a method with one seed, in a directory of the comparison's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kd_compare.methods import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore import RunDirectory
    from kdcore.inspect import LoadedSpec


@dataclass(frozen=True)
class PlannedRun:
    """One method with one seed."""

    label: str
    seed: int
    loaded: LoadedSpec

    @property
    def directory(self) -> RunDirectory:
        """The run directory."""
        return self.loaded.directory

    @property
    def name(self) -> str:
        """The run's name, for messages and files."""
        return self.loaded.spec.name


def planned_run(label: str, seed: int, loaded: LoadedSpec, folder: Path) -> PlannedRun:
    """The run of a method with one seed."""
    name = f"{file_name(label)}-seed{seed}"
    settled: dict[str, Any] = {"name": name, "seed": seed, "output": str(folder / "runs")}
    # a file of the comparison: it has the output folder of this comparison, and nobody edits it meanwhile
    teachers = tuple(
        member.spec
        if member.name not in loaded.teachers
        else member.spec.model_copy(
            update={"run": str(spec_path(folder, f"teacher-{loaded.teachers[member.name].spec.name}"))}
        )
        for member in loaded.spec.members
    )
    if teachers:
        settled["teacher"] = teachers if isinstance(loaded.spec.teacher, tuple) else teachers[0]
    return PlannedRun(label, seed, replace(loaded, spec=loaded.spec.model_copy(update=settled)))


def spec_path(folder: Path, name: str) -> Path:
    """The file in a comparison's folder with the spec of a run or a teacher."""
    return folder / "specs" / f"{name}.json"
