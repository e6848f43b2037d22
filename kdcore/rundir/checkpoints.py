"""Checkpoints: written completely or not at all, with checksums; the last two are kept, and the best."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from kdcore.json_files import read_json
from kdcore.rundir.files import sync_folder, write_json
from kdcore.rundir.sharded_state import FOLDER, digests, put_together
from kdcore.rundir.statefile import Damaged, read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from kdcore.rundir.sharded_state import Place

_KEPT = 2
_STEP = "step-"
_STATE = "state.safetensors"
_MANIFEST = "manifest.json"
BEST = "best"


def _name(step: int | None) -> str:
    return BEST if step is None else f"{_STEP}{step:08d}"


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-NNNNNNNN/` for resuming, `best/` with the best student."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._damaged: set[str] = set()  # those that `load` found

    def begin(self, step: int | None) -> Path:
        """Make the folder for the parts of sharded tensors, which each process writes before `save` or `save_best`.

        Args:
            step: of the checkpoint; None: it is the best so far.
        """
        folder = self.parts_of(step)
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def parts_of(self, step: int | None) -> Path:
        """The folder that `begin` makes."""
        return self._unfinished(_name(step)) / FOLDER

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write `state` as the newest checkpoint, and remove all except it and the one before it that is complete.

        Those of later steps are removed, too: they were damaged, or the run began again.

        Sharded tensors of the state are in the folder of `begin`.
        """
        name = _name(step)
        self._write(name, state, {"step": step})
        self._damaged.discard(name)
        steps = self._steps()
        complete = [one for one in steps[: steps.index(name) + 1] if one not in self._damaged]
        for old in set(steps).difference(complete[-_KEPT:]):
            shutil.rmtree(self.folder / old)

    def save_best(self, state: dict[str, Any], about: dict[str, Any]) -> None:
        """Write `state` as the best so far; `about` holds its epoch and scores."""
        self._write(BEST, state, about)

    @property
    def any(self) -> bool:
        """Whether there is a checkpoint, complete or not."""
        return bool(self._steps())

    def load(self, warn: Callable[[str], None], *, together: bool = True) -> dict[str, Any] | None:
        """The newest complete state, or None; calls `warn` for each damaged one.

        Without `together`, sharded tensors stay where they are.
        """
        self._clean()
        return self.peek(warn, together=together)

    def peek(
        self, warn: Callable[[str], None] = lambda text: None, *, together: bool = True
    ) -> dict[str, Any] | None:
        """Like `load`, but changes nothing in the folder: the run may be in progress."""
        names = self._steps()
        for name in reversed(names):
            try:
                return self._read(name, together=together)
            except Damaged as error:
                self._damaged.add(name)
                before = "trying the previous one" if name != names[0] else "there is no earlier one"
                warn(f"checkpoint {name}: {error}; {before}")
        return None

    def at(self, step: int) -> dict[str, Any] | None:
        """The state of a step that another process has checked; None if it is not there. Sharded tensors stay there."""
        try:
            return self._read(_name(step), together=False, parts=False)
        except Damaged:
            return None

    def load_best(self, *, together: bool = True) -> dict[str, Any]:
        """The best state.

        Raises:
            Damaged: it is missing or incomplete.
        """
        return self._read(BEST, together=together)

    def together(
        self, state: dict[str, Any], step: int | None, like: Callable[[Place], Tensor | None]
    ) -> dict[str, Any]:
        """The state of a step, or the best one, with the parts of its sharded tensors that this process needs.

        Raises:
            Damaged: a part is missing.
        """
        return self._together(_name(step), state, like)

    def about_best(self) -> dict[str, Any]:
        """The epoch and the scores of the best state.

        Raises:
            Damaged: it is missing or incomplete.
        """
        return self._manifest(BEST)

    def _write(self, name: str, state: dict[str, Any], about: dict[str, Any]) -> None:
        target = self.folder / name
        temporary = self._unfinished(name)
        parts = digests(temporary / FOLDER)
        if not parts:
            shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            known = {_STATE: write_state(temporary / _STATE, state)}
            known |= {f"{FOLDER}/{part}": digest for part, digest in parts.items()}
            write_json(temporary / _MANIFEST, {**about, "sha256": known})
            if target.exists():
                # a folder cannot be replaced in one step: the old one is kept under a name that `_clean` recognises
                target.rename(self.folder / f".{name}.old")
            temporary.rename(target)
            sync_folder(self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(self.folder / f".{name}.old", ignore_errors=True)

    def _read(self, name: str, *, together: bool = True, parts: bool = True) -> dict[str, Any]:
        known = self._manifest(name)["sha256"]
        state: dict[str, Any] = read_state(self.folder / name / _STATE, known[_STATE])
        if parts and len(known) > 1:
            found = digests(self.folder / name / FOLDER)
            for part, digest in known.items():
                if part != _STATE and found.get(part.removeprefix(f"{FOLDER}/")) != digest:
                    raise Damaged(f"{part} is damaged or missing")
        return self._together(name, state) if together else state

    def _together(
        self, name: str, state: dict[str, Any], like: Callable[[Place], Tensor | None] = lambda place: None
    ) -> dict[str, Any]:
        try:
            found: dict[str, Any] = put_together(state, self.folder / name / FOLDER, like)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise Damaged(f"{FOLDER} cannot be read: {error}") from error
        return found

    def _unfinished(self, name: str) -> Path:
        return self.folder / f".{name}.tmp"

    def _manifest(self, name: str) -> dict[str, Any]:
        try:
            manifest: dict[str, Any] = read_json(self.folder / name / _MANIFEST)
            if isinstance(manifest["sha256"][_STATE], str):
                return manifest
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{_MANIFEST} is damaged or missing") from error
        raise Damaged(f"{_MANIFEST} is damaged or missing")

    def _steps(self) -> list[str]:
        names = (path.name for path in self.folder.glob(f"{_STEP}*") if path.is_dir())
        return sorted(names, key=lambda name: (len(name), name))  # more digits mean a later step

    def _clean(self) -> None:
        """Clean up after a kill between two renames: the old folder comes back if the new one is incomplete."""
        for old in self.folder.glob(".*.old"):
            target = self.folder / old.name[1 : -len(".old")]
            if target.exists():
                shutil.rmtree(old)
            else:
                old.rename(target)
        for rest in self.folder.glob(".*.tmp"):
            shutil.rmtree(rest, ignore_errors=True)
