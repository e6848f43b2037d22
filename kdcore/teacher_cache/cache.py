"""`TeacherCache`: rows are read and written, by any number of runs and processes at once."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from kdcore.errors import Problem, RunFailed, UserError
from kdcore.protocols import FeatureMap, ModelOutput
from kdcore.rundir.files import remove_leftovers, sync_folder, temporary_path
from kdcore.teacher_cache.manifest import CHECKSUMS, Manifest, NoCache
from kdcore.teacher_cache.row_files import RowFiles
from kdcore.teacher_cache.rows import Field, Rows, fields, stage_name
from kdcore.teacher_cache.size import check_room, estimate
from kdcore.teacher_cache.sparse import join, split
from kdcore.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from kdcore.spec.models import TeacherCacheSpec
    from kdcore.teacher_cache.identity import Identity

_HOUR: Final = 3600.0  # processes on other machines may be creating a cache in the same folder

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


class TeacherCache:
    """An open cache.

    A row is valid once its checksum is written, after its numbers, and as long as the two match. Rows that a killed
    process left incomplete, or that were edited, are computed again. Runs that fill one cache together write the same.

    Attributes:
        path: its folder.
        manifest: what it holds.
        warn: called with a message about damaged rows.
    """

    def __init__(self, path: Path, manifest: Manifest, rows: Rows, settings: TeacherCacheSpec) -> None:
        self.path = path
        self.manifest = manifest
        self.warn: Callable[[str], None] = lambda text: None
        self._rows = rows
        self._augmentations = settings.augmentations
        self._wanted = fields(rows, settings)
        self._files = RowFiles(path, manifest)
        self._told = False

    @classmethod
    def open(
        cls,
        folder: Path,
        identity: Identity,
        rows: Rows,
        settings: TeacherCacheSpec,
        samples: int,
        *,
        create: bool = True,
    ) -> TeacherCache:
        """Open the cache in `folder` that fits, the fullest of several; create it if there is none.

        Raises:
            UserError: there is none and `create` is False, the disk cannot hold it, or it cannot be written.
        """
        wanted = _manifest(identity, rows, settings, samples)
        try:
            found = _find(folder, wanted)
            if found is None:
                if not create:
                    raise UserError(Problem("teacher_cache", f"no cache in {folder} fits this spec"))
                check_room(folder, estimate(rows, settings, samples))
                found = _create(folder, wanted)
            return cls(*found, rows, settings)
        except OSError as error:
            message = f"{folder} cannot be written: {error.strerror}"
            raise UserError(Problem("teacher_cache.folder", message, hint="set another 'folder'")) from error

    @property
    def size_bytes(self) -> int:
        """The size of all files when the cache is full; of a stream, their present size."""
        return (self.manifest.rows or len(self._files)) * (
            4 + sum(field.row_bytes for field in self.manifest.fields)
        )

    @property
    def rows_total(self) -> int:
        """The number of rows that this run may read; of a stream, of those that are filled."""
        return self.rows_filled if self.manifest.grows else self._augmentations * self.manifest.samples

    @property
    def rows_filled(self) -> int:
        """The number of these rows that are filled."""
        rows = self._files.filled()
        if self.manifest.grows:
            return int(np.count_nonzero(rows % self.manifest.augmentations < self._augmentations))
        return int(np.count_nonzero(rows < self.rows_total))

    @property
    def progress(self) -> str:
        """How many rows are filled, and of how many if that is known, for messages."""
        return f"{self.rows_filled:,}" + ("" if self.manifest.grows else f" of {self.rows_total:,}")

    def there(self, augmentation: int) -> npt.NDArray[np.bool_]:
        """Of which samples `[N]` the row of an augmentation is valid; of a stream, N samples that the files reach."""
        samples = self.manifest.samples or -(-len(self._files) // self.manifest.augmentations)
        return self._there(self._numbers(augmentation, torch.arange(samples)))

    def missing(self, augmentation: int) -> Tensor:
        """Positions `[M]` of the samples of an augmentation whose rows are missing or damaged."""
        return torch.from_numpy(np.flatnonzero(~self.there(augmentation)))

    def read(self, epoch: int, index: Tensor) -> ModelOutput | None:
        """The outputs for a batch of an epoch, in float32 on the CPU; None unless all rows are filled.

        Args:
            epoch: the epoch; it uses augmentation `epoch` mod augmentations.
            index: positions in the training set `[B]`, or keys of a stream's samples.
        """
        rows = self._numbers(epoch, index)
        return self._output(rows) if self._there(rows).all() else None

    def missing_of(self, epoch: int, index: Tensor) -> Tensor:
        """Places `[M]` in a batch, from 0, of the rows that are missing or damaged."""
        return torch.from_numpy(np.flatnonzero(~self._there(self._numbers(epoch, index))))

    def write(
        self, epoch: int, index: Tensor, output: ModelOutput, places: Tensor | None = None
    ) -> ModelOutput:
        """Store the outputs of a batch that are missing, and return the whole batch as stored.

        Args:
            epoch: as for `read`.
            index: as for `read`.
            output: of the whole batch, or of some of its images.
            places: which images these are: what `missing_of` returned.

        Raises:
            RunFailed: an output is not finite, or too large for the cache's number format.
        """
        rows = self._numbers(epoch, index)
        new = np.flatnonzero(~self._there(rows))
        if not len(new):
            return self._output(rows)
        # another process may have filled some since `missing_of`
        which = new if places is None else np.searchsorted(places.numpy(), new)
        values = self._encoded(output, torch.from_numpy(which))
        if set(self._wanted) == set(self.manifest.fields):
            self._files.store(rows[new], values)
        # otherwise: damaged rows of a cache that stores more than this run computes; they stay as they are
        return self._output(rows, new, values)

    def close(self) -> None:
        """Write the data to the disk and close the files. What is known stays readable.

        Raises:
            OSError: the disk is full or gone; the files are closed.
        """
        self._files.close()

    # -- rows ------------------------------------------------------------------------------------------------

    def _numbers(self, epoch: int, index: Tensor) -> npt.NDArray[np.int64]:
        augmentation, places = epoch % self._augmentations, index.cpu().numpy()
        numbers: npt.NDArray[np.int64] = augmentation * self.manifest.samples + places
        if self.manifest.grows:  # all rows of a sample together: new samples come behind them
            numbers = places * self.manifest.augmentations + augmentation
        return numbers

    def _there(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows are filled and valid."""
        there = self._files.there(rows)
        if self._files.damaged and not self._told:
            self._told = True
            self.warn(f"teacher cache: rows of {self.path} are damaged; they are computed again")
        return there

    # -- outputs ---------------------------------------------------------------------------------------------

    def _encoded(self, output: ModelOutput, which: Tensor) -> dict[str, npt.NDArray[Any]]:
        """Every field for these rows of a batch, in the format on the disk."""
        views = [self._parts_of(view) for view in output.views or (output,)]
        parts = views[0]
        if self._rows.views > 1:
            parts = {name: torch.stack([view[name] for view in views], dim=1) for name in parts}
        return {
            field.name: self._on_disk(field, parts[field.name].detach()[which.to(parts[field.name].device)])
            for field in self._wanted
        }

    def _parts_of(self, output: ModelOutput) -> dict[str, Tensor]:
        """The tensors of one view by the names of the fields."""
        parts: dict[str, Tensor] = {}
        if output.logits is None:
            pass  # an encoder
        elif self.manifest.top_k is None:
            parts["logits"] = output.logits
        else:
            names = ("top-logits", "top-classes", "rest")
            parts |= dict(zip(names, split(output.logits, self.manifest.top_k), strict=True))
        if output.embedding is not None:
            parts["embedding"] = output.embedding
        for stage, one in output.features.items():
            parts[f"map-{stage_name(stage)}"] = one.map
            if one.prefix is not None:
                parts[f"prefix-{stage_name(stage)}"] = one.prefix
        return parts

    def _on_disk(self, field: Field, values: Tensor) -> npt.NDArray[Any]:
        if field.dtype not in _DTYPES:
            return values.cpu().numpy().astype(field.storage)
        if not bool(values.isfinite().all()):
            raise RunFailed(f"the teacher's {field.name} are not finite, so the cache cannot store them")
        kept = values.to(_DTYPES[field.dtype])
        if not bool(kept.isfinite().all()):
            raise RunFailed(
                f"the teacher's {field.name} are too large for {field.dtype}: set teacher_cache.dtype to 'bfloat16' or "
                "'float32'"
            )
        kept = kept.cpu().contiguous()
        raw = kept.view(torch.uint16) if field.dtype == "bfloat16" else kept
        return raw.numpy().astype(field.storage, copy=False)

    def _output(
        self,
        rows: npt.NDArray[np.int64],
        new: npt.NDArray[np.int64] | None = None,
        values: dict[str, npt.NDArray[Any]] | None = None,
    ) -> ModelOutput:
        """The rows' outputs; for the positions `new` of the batch, `values` instead of the data on the disk."""
        parts: dict[str, Tensor] = {}
        for field in self._wanted:
            kept = self._files.read(field, rows)
            if values is not None:
                kept[new] = values[field.name]
            parts[field.name] = self._tensor(field, kept)
        if self._rows.views == 1:
            return self._output_of(parts)
        views = tuple(
            self._output_of({name: values[:, view] for name, values in parts.items()})
            for view in range(self._rows.views)
        )
        return replace(views[0], views=views)

    def _output_of(self, parts: dict[str, Tensor]) -> ModelOutput:
        """The output of one view."""
        logits = None
        if self._rows.num_classes and self.manifest.top_k is None:
            logits = parts["logits"]
        elif self._rows.num_classes:
            top, classes, rest = (parts[name] for name in ("top-logits", "top-classes", "rest"))
            logits = join(top, classes, rest, self._rows.num_classes)
        features = {
            info.stage: FeatureMap(
                parts[f"map-{stage_name(info.stage)}"], parts.get(f"prefix-{stage_name(info.stage)}")
            )
            for info in self._rows.stages
        }
        return ModelOutput(logits, features, parts.get("embedding"))

    @staticmethod
    def _tensor(field: Field, values: npt.NDArray[Any]) -> Tensor:
        if field.dtype == "bfloat16":
            return torch.from_numpy(values).view(torch.bfloat16).float()
        tensor = torch.from_numpy(values)
        return tensor.float() if field.dtype == "float16" else tensor


def _manifest(identity: Identity, rows: Rows, settings: TeacherCacheSpec, samples: int) -> Manifest:
    return Manifest(
        digest=identity.digest(),
        identity=identity.parts,
        teacher=identity.teacher,
        dataset=identity.dataset,
        fields=fields(rows, settings),
        num_classes=rows.num_classes,
        augmentations=settings.augmentations,
        samples=samples,
        top_k=settings.top_k,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        kdcore=__version__,
    )


def _stem(manifest: Manifest) -> str:
    teacher = re.sub(r"[^\w.-]", "_", manifest.teacher)
    return f"{teacher}-{manifest.digest[:12]}"


def _find(folder: Path, wanted: Manifest) -> tuple[Path, Manifest] | None:
    serving = []
    for path in sorted(folder.glob(f"{_stem(wanted)}*")):
        try:
            manifest = Manifest.read(path)
        except NoCache:
            continue
        if manifest.serves(wanted):
            filled = int(np.count_nonzero(np.fromfile(path / CHECKSUMS, "<u4")))
            # a cache of the same content first: a larger one can only be read, not filled
            serving.append((manifest.fields == wanted.fields, filled, path, manifest))
    if not serving:
        return None
    best = max(serving, key=lambda item: ((item[0] or _is_full(item[1], item[3])), item[1]))
    exact, filled, path, manifest = best
    return (path, manifest) if exact or _is_full(filled, manifest) else None


def _is_full(filled: int, manifest: Manifest) -> bool:
    return not manifest.grows and filled == manifest.rows


def _create(folder: Path, manifest: Manifest) -> tuple[Path, Manifest]:
    """Create the files in a temporary folder and rename it: no process sees an incomplete cache."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, older_than=_HOUR)
    temporary = temporary_path(folder / _stem(manifest))
    temporary.mkdir()
    try:
        for name, size in [
            *((f"{field.name}.bin", field.row_bytes) for field in manifest.fields),
            (CHECKSUMS, 4),
        ]:
            with (temporary / name).open("wb") as file:
                file.truncate(size * manifest.rows)  # a sparse file: it takes space only when it is filled
        manifest.write(temporary)
        number = 1
        while True:
            target = folder / (_stem(manifest) if number == 1 else f"{_stem(manifest)}-{number}")
            found = _find(folder, manifest)
            if found is not None:  # another run was faster
                return found
            try:
                temporary.rename(target)
            except OSError:
                if not target.exists():
                    raise
                number += 1
                continue
            sync_folder(folder)
            return target, manifest
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
