"""The work of one process on one run: accelerator, data, models, training, and the files of the end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kdcore.data.mix import Mixer
from kdcore.distill.splits import Splits, open_splits
from kdcore.distill.transforms import keep_transforms
from kdcore.models import save_student
from kdcore.run.accelerator import expect_idle_parameters, keep_own_buffers, make_accelerator
from kdcore.run.end import complete
from kdcore.run.environment import environment
from kdcore.run.fingerprint import fingerprint, train_fingerprint
from kdcore.run.loop import Training
from kdcore.run.prepare import Prepared, Process, prepare
from kdcore.run.result import RunResult
from kdcore.run.resume import resume
from kdcore.run.shared_images import shared_image_notes
from kdcore.run.summary import summarise
from kdcore.run.table_teacher import table_teachers
from kdcore.run.teacher_pass import prepare_distillers
from kdcore.run.trackers import Trackers
from kdcore.rundir.directory import EMA, TEACHER_AVERAGES, TEACHERS
from kdcore.spec.load import resolved_dict
from kdcore.text import byte_size, has_top_5

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator

    from kdcore.data.fingerprint import SplitFingerprint
    from kdcore.inspect.scores import Scores
    from kdcore.run.context import RunContext
    from kdcore.run.table_teacher import GivesOutputs
    from kdcore.teacher_cache.cache import TeacherCache

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class Session:
    """Builds a run, trains it, and ends it."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.loaded, self.spec = context.loaded, context.loaded.spec
        self.plugins, self.display, self.directory = context.plugins, context.display, context.directory
        self.trackers = Trackers(context.directory, context.display.warn)
        self.training: Training | None = None
        self.prepared: Prepared | None = None
        self._caches: tuple[TeacherCache, ...] = ()

    def run(self) -> RunResult:
        """Train to the end and write the summary and the student, or to epoch `until` and write a summary.

        Raises:
            RunFailed: the run could not continue.
            Interrupted: it was asked to stop.
        """
        training, splits = self.begin()
        self._show_teachers(training, splits.num_classes)
        if training.accelerator.is_main_process:
            self.plugins.run_started(self.directory)
        prepare_distillers(training)
        training.fit(self.context.until)
        if not training.complete:
            summary = self.conclude("paused")
            self.display.note(f"paused after epoch {training.state.epoch} of {self.spec.train.epochs}")
            return RunResult(self.directory.path, summary, training.state.records)
        if training.state.ended is not None:
            self.display.note(
                f"ended after epoch {training.state.epoch} of {self.spec.train.epochs}: {training.state.ended}"
            )
        kept = training.finish()
        summary = self.conclude("finished", kept=kept)
        if training.accelerator.is_main_process:
            prepared = self.prepared
            assert prepared is not None
            self.directory.check_place()
            self._save_students(prepared, splits, training, summary)
            self._write_classes(splits, kept)
            self.directory.write_summary(summary)
            complete(self.directory, self.plugins, self.display)
        training.accelerator.wait_for_everyone()
        return RunResult(self.directory.path, summary, training.state.records)

    def begin(self) -> tuple[Training, Splits]:
        """Everything before the first step: returns the training, restored from its last checkpoint."""
        accelerator = make_accelerator(self.spec)
        splits = open_splits(self.spec, self.plugins, self.loaded.teachers)
        prepared = self.prepared = prepare(
            self.loaded,
            splits,
            self.plugins,
            Process(accelerator.device, accelerator.process_index, accelerator.num_processes),
        )
        for text in prepared.warnings:
            self.display.warn(text)
        if accelerator.is_main_process:
            for text in shared_image_notes(splits):
                self.display.warn(text)
        kept = {"training": prepared.train.kept_bytes, "evaluation": prepared.eval.kept_bytes}
        if kept_parts := [f"{name} {byte_size(size)}" for name, size in kept.items() if size]:
            self.display.note(f"data     decoded images stay in memory: {', '.join(kept_parts)}")
        keep_own_buffers(prepared.distillation)
        expect_idle_parameters(accelerator, prepared.distillation)
        files = train_fingerprint(splits, accelerator)
        cached = self._cached_teachers(accelerator, prepared, files)
        training = self.training = self._training(accelerator, prepared, splits.num_classes, cached)
        if accelerator.is_main_process:  # it writes the checkpoints
            device, processes = accelerator.device, accelerator.num_processes
            training.state.fingerprint = fingerprint(
                self.loaded, prepared, splits, self.plugins, device, processes, files
            )
        # before anything is written: a refused run leaves the directory unchanged
        resume(training, self.context)
        if accelerator.is_main_process:
            self._write_beginning(training)
        if self.spec.train.fsdp is not None and training.shards is None:
            self.display.note("fsdp     there is only one process: it holds all weights")
        return training, splits

    def _write_beginning(self, training: Training) -> None:
        accelerator = training.accelerator
        about = environment(
            self.plugins, accelerator.device, accelerator.num_processes, self.directory.path.parent
        )
        about |= {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "from_step": training.state.step,
        }
        if training.state.accepted and training.state.accepted[-1]["step"] == training.state.step:
            about["accepted_changes"] = training.state.accepted[-1]["changes"]
        resolved = json.loads(json.dumps(resolved_dict(self.loaded)))
        self.directory.begin(resolved, about)
        if self.prepared is not None:
            keep_transforms(self.directory, self.spec, self.prepared.models.student.built)
        if training.state.records:
            self.directory.write_metrics(training.state.records)
        self.trackers.start(self.spec, resolved)

    def conclude(
        self, status: str, error: str | None = None, kept: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The summary of the current state; it is written unless the run is finished, when the student comes first."""
        training, prepared = self.training, self.prepared
        self.trackers.close()
        if training is None or prepared is None:
            return {"status": status, **({} if error is None else {"error": error})}
        summary = summarise(training, prepared, status, error, kept)
        if status != "finished" and training.accelerator.is_main_process and not self.directory.replaced:
            self.directory.write_summary(summary)
        return summary

    def close(self) -> None:
        """Close the caches of the teachers; the next run computes the rows that could not be written."""
        for cache in self._caches:
            try:
                cache.close()
            except OSError as error:
                self.display.warn(f"teacher cache: {cache.path} cannot be written: {error.strerror}")

    def _write_classes(self, splits: Splits, kept: dict[str, Any]) -> None:
        """What was measured for each class of the student that is kept."""
        details: Scores | None = kept.get("details")
        if details is not None and details.per_class:
            self.directory.write_classes(details.per_class, splits.classes)

    # -- parts -----------------------------------------------------------------------------------------------

    def _cached_teachers(
        self, accelerator: Accelerator, prepared: Prepared, files: SplitFingerprint
    ) -> Mapping[str, GivesOutputs] | None:
        if prepared.tables:
            return table_teachers(prepared.distillation, prepared.tables, accelerator)
        if self.spec.teacher_cache is None:
            return None
        from kdcore.run.cached_teacher import CachedTeacher, open_caches

        with accelerator.main_process_first():  # it creates the files
            caches = open_caches(self.loaded, prepared, self.plugins, files, self.display.warn)
        self._caches = tuple(caches.values())
        for name, cache in caches.items():
            of = f" of teacher '{name}'" if len(caches) > 1 else ""
            self.display.note(f"cache    {cache.path}: {cache.progress} rows{of} filled")
        teachers = prepared.distillation.teacher_passes
        data = self.loaded.spec.data
        # an epoch lacks some images
        again = data.sampling != "shuffled" or data.labelled_fraction is not None or prepared.train.stream
        return {
            name: CachedTeacher(cache, teachers[name], accelerator, in_part=again)
            for name, cache in caches.items()
        }

    def _training(
        self,
        accelerator: Accelerator,
        prepared: Prepared,
        num_classes: int,
        cached: Mapping[str, GivesOutputs] | None,
    ) -> Training:
        data = self.spec.data
        mixer = None
        if data.mixup > 0 or data.cutmix > 0:
            mixer = Mixer(data.mixup, data.cutmix, num_classes, seed=self.spec.seed)
        return Training(
            self.context,
            prepared,
            accelerator,
            mixer=mixer,
            cached_teachers=cached,
            trackers=self.trackers,
        )

    def _show_teachers(self, training: Training, num_classes: int) -> None:
        several = len(self.spec.members) > 1
        for name in training.measure_teachers():
            scores, which = training.state.teacher_scores[name], f" '{name}'" if several else ""
            if training.measures.encoders is not None:
                self._show_encoder(which, scores)
            if self.spec.task.kind == "labels" and scores.get("map") is not None:
                self.display.note(f"teacher {which} mAP {scores['map']:.2f} % on the evaluation images")
            if scores.get("top1") is None:
                continue
            top1 = scores["top1"]
            more = f", top-5 {scores['top5']:.2f} %" if has_top_5(num_classes) else ""
            self.display.note(f"teacher {which} top-1 {top1:.2f} %{more} on the evaluation images")
            chance = 100 / num_classes
            if top1 < chance + 0.1 * (100 - chance):
                self.display.warn(
                    f"teacher{which}: its top-1 of {top1:.2f} % is close to chance ({chance:.2f} %)"
                )

    def _show_encoder(self, which: str, scores: dict[str, Any]) -> None:
        parts = [f"k-NN top-1 {scores['knn_top1']:.2f} %"] if "knn_top1" in scores else []
        parts += [f"linear probe {scores['probe_top1']:.2f} %"] if "probe_top1" in scores else []
        if parts:
            self.display.note(f"teacher {which} {', '.join(parts)} on the evaluation images")

    def _save_students(
        self, prepared: Prepared, splits: Splits, training: Training, summary: dict[str, Any]
    ) -> None:
        save = {
            "model_name": training.shipped_as.name,
            "num_classes": splits.num_classes if self.spec.student.classifier else 0,
            "input": prepared.models.taken,
            "options": training.shipped_as.options,
            "small_input": training.shipped_as.small_input,
            "head_of": training.shipped_as.distiller,
            "class_names": splits.classes if self.spec.student.classifier else None,
            "metrics": summary["student"],
        }
        save_student(training.shipped, self.directory.student, **save)
        if training.ema is not None:
            save_student(training.ema.module, self.directory.path / EMA, **save)
        for name, placed in prepared.models.teachers.items():
            if placed.learns:
                built = placed.built
                save = {
                    "model_name": built.name,
                    "num_classes": splits.num_classes,
                    "input": built.input_beside(prepared.models.input),
                    "options": built.options,
                    "small_input": built.small_input,
                    "class_names": splits.classes,
                    "metrics": training.state.teacher_scores.get(name, {}),
                }
                save_student(placed.module, self.directory.path / TEACHERS / name, **save)
                if name in training.teacher_averages:
                    averaged = training.teacher_averages[name].module
                    save_student(averaged, self.directory.path / TEACHER_AVERAGES / name, **save)
