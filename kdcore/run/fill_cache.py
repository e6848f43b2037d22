"""`cache_teacher`: fill a teacher cache before the runs that read it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from kdcore.data.loader import loaders_end
from kdcore.data.stream import LaneTrainData
from kdcore.distill.splits import open_splits
from kdcore.errors import Interrupted, Problem, UserError
from kdcore.plugins import get_plugins
from kdcore.run.accelerator import make_accelerator
from kdcore.run.cached_teacher import CachedTeacher, cache_folder, open_caches
from kdcore.run.caller_state import own_surroundings
from kdcore.run.choose_display import choose_display
from kdcore.run.context import RunContext
from kdcore.run.display import Display, SilentDisplay
from kdcore.run.export_table import check_export, export_table
from kdcore.run.failures import explained
from kdcore.run.fingerprint import train_fingerprint
from kdcore.run.preflight import check
from kdcore.run.prepare import Process, prepare
from kdcore.run.run import run_teacher
from kdcore.run.settle import is_main_process, settled
from kdcore.run.signals import stop_requests
from kdcore.teacher_cache.table import check_table_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from accelerate import Accelerator

    from kdcore.data.batches import RawBatch, TrainData
    from kdcore.data.train import IndexedTrainData
    from kdcore.plugins import Plugins
    from kdcore.run.signals import StopRequest
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import RunSpec
    from kdcore.teacher_cache.cache import TeacherCache

BATCH = 256  # most samples for the teacher at once: without gradients this fits if training does


@dataclass(frozen=True)
class CacheResult:
    """The result of filling a cache.

    Attributes:
        path: the cache's folder; with several teachers the folder of their caches.
        paths: each teacher's cache, by the teacher's name.
        rows: augmentations times samples, for each teacher; the caches hold all of them. Of a stream: all rows that
            they hold.
        computed: rows that this call added.
        size_bytes: size of the cache.
        seconds: wall time of this call.
    """

    path: Path
    paths: dict[str, Path]
    rows: int
    computed: int
    size_bytes: int
    seconds: float


@own_surroundings("kdcore.cache_teacher")
def cache_teacher(
    spec: RunSpec | LoadedSpec | str | Path,
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    table: Path | None = None,
    quiet: bool = False,
) -> CacheResult:
    """Compute the teacher's outputs for every augmentation of every training sample, as set in `teacher_cache`.

    Rows that the cache already holds are kept: a call that was stopped or killed continues where it ended. If the
    spec says how to train the teacher and its run is not there, the teacher is trained first. Several processes share
    the work.

    Args:
        spec: as for `run`.
        overrides: `key.path=value`, as for `--set`; only if `spec` is a file.
        output: folder for the run directories instead of the spec's.
        table: an `.npz` file to write the logits to, with the names of the images; also those of the evaluation images.
        quiet: show nothing.

    Raises:
        UserError: something in the spec is wrong, it has no `teacher_cache`, or the disk cannot hold it.
        RunFailed: an image cannot be read, or the number format cannot hold the teacher's outputs.
        Interrupted: the call was stopped.
    """
    plugins = get_plugins()
    loaded = settled(spec, overrides, output, plugins)
    if loaded.spec.teacher_cache is None:
        hint = 'add "teacher_cache": {"augmentations": 10}, or --set teacher_cache.augmentations=10'
        raise UserError(
            Problem("teacher_cache", "the spec does not set it, so there is no cache to fill", hint=hint)
        )
    if table is not None:
        check_table_path(table)
        check_export(loaded.spec)
    display = SilentDisplay() if quiet else choose_display(is_main_process())
    for line in check(loaded, plugins, compare_splits=False).lines():
        display.note(line)
    started = time.monotonic()
    with stop_requests() as stop:
        for below in loaded.teachers.values():
            run_teacher(RunContext(loaded=below, plugins=plugins, display=display, stop=stop))
        try:
            with loaders_end():
                caches, computed = _fill(loaded, plugins, display, stop, table)
        except Exception as error:
            failure = explained(error, loaded.directory)
            if failure is error:
                raise
            raise failure from error
    seconds = time.monotonic() - started
    paths = {name: cache.path for name, cache in caches.items()}
    return CacheResult(
        path=next(iter(paths.values())) if len(paths) == 1 else cache_folder(loaded),
        paths=paths,
        rows=_total(caches),
        computed=computed,
        size_bytes=sum(cache.size_bytes for cache in caches.values()),
        seconds=seconds,
    )


def _total(caches: Mapping[str, TeacherCache]) -> int:
    return sum(cache.rows_total for cache in caches.values())


def _progress(train: TrainData, caches: Mapping[str, TeacherCache]) -> str:
    filled = sum(cache.rows_filled for cache in caches.values())
    return f"{filled:,}" if train.stream else f"{filled:,} of {_total(caches):,}"


def _missing(
    train: TrainData, caches: Mapping[str, TeacherCache], augmentation: int, rank: int, world: int
) -> tuple[Iterable[RawBatch], int]:
    """The batches of the images of which a teacher lacks an augmentation, each image once, and about how many.

    They are those of one of several processes.
    """
    if isinstance(train, LaneTrainData):
        found = [cache.there(augmentation) for cache in caches.values()]
        length = min(len(there) for there in found)
        there = np.logical_and.reduce([one[:length] for one in found])
        number = (train.shards.reported or train.size) // (BATCH * world)
        return train.lacking(augmentation, there, BATCH, rank=rank, world=world), max(number, 1)
    lacking = [cache.missing(augmentation) for cache in caches.values()]
    missing = torch.unique(torch.cat(lacking))[rank::world].tolist()
    keys = [
        [(augmentation, position) for position in missing[start : start + BATCH]]
        for start in range(0, len(missing), BATCH)
    ]
    return cast("IndexedTrainData", train).given(keys), len(keys)


@dataclass(frozen=True)
class _Filling:
    """The teachers, each with its cache, and the images of which it has to hold their outputs."""

    train: TrainData
    caches: Mapping[str, TeacherCache]
    teachers: Sequence[CachedTeacher]
    accelerator: Accelerator
    display: Display
    stop: StopRequest

    def fill(self, augmentation: int, augmentations: int) -> int:
        """Compute the missing rows of an augmentation; the number of them.

        Raises:
            Interrupted: a signal asked to stop.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        batches, number = _missing(self.train, self.caches, augmentation, rank, world)
        self.display.epoch(augmentation, number, 0)
        started, done, computed = time.monotonic(), 0, 0
        for raw in batches:
            images = raw.images.to(self.accelerator.device, non_blocking=True)
            for teacher in self.teachers:
                computed += len(teacher.cache.missing_of(augmentation, raw.cached_by))
                teacher(augmentation, images, raw.cached_by)
            done += len(raw.cached_by)
            self.display.advance(done / (time.monotonic() - started))
            if self.stop.signal is not None:
                raise Interrupted(
                    f"stopped by {self.stop.signal.name}: {_progress(self.train, self.caches)} rows are saved; the "
                    "same command continues from there",
                    self.stop.exit_code,
                )
        if done:
            rate = done / (time.monotonic() - started)
            self.display.note(f"augmentation {augmentation + 1}/{augmentations}  {rate:,.0f} images/s")
        return computed


def _fill(
    loaded: LoadedSpec, plugins: Plugins, display: Display, stop: StopRequest, table: Path | None
) -> tuple[dict[str, TeacherCache], int]:
    accelerator = make_accelerator(loaded.spec)
    splits = open_splits(loaded.spec, plugins, loaded.teachers)
    if table is not None and splits.train.stream:
        message = "a table has a name for each image, and the samples of a stream have none"
        hint = "leave --table out, or download the shards and read them as 'parquet/' or 'arrow/'"
        raise UserError(Problem("--table", message, hint=hint))
    # each process has all of the data: it takes its part of the missing rows
    prepared = prepare(loaded, splits, plugins, Process(accelerator.device))
    for text in prepared.warnings:
        display.warn(text)
    files = train_fingerprint(splits, accelerator)
    with accelerator.main_process_first():
        caches = open_caches(loaded, prepared, plugins, files, display.warn)
    for cache in caches.values():
        display.note(f"cache    {cache.path}: {cache.progress} rows filled")
    frozen = prepared.distillation.eval().teacher_passes
    if loaded.spec.train.compile:
        for one in frozen.values():
            one.compile()
    teachers = [CachedTeacher(cache, frozen[name], accelerator) for name, cache in caches.items()]
    filling = _Filling(prepared.train, caches, teachers, accelerator, display, stop)
    augmentations = loaded.spec.teacher_cache.augmentations if loaded.spec.teacher_cache else 0
    display.begin(augmentations, 0)
    try:
        computed = sum(filling.fill(number, augmentations) for number in range(augmentations))
    finally:
        display.close()
        for cache in caches.values():
            cache.close()
    accelerator.wait_for_everyone()
    if table is not None and accelerator.is_main_process:
        (cache,) = caches.values()
        count = export_table(table, loaded.spec, prepared, splits, cache, accelerator)
        display.note(f"table    {count:,} rows in {table}")
    return caches, computed
