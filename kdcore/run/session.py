"""One process's work on one run: accelerator, data, models, training, and what is left behind at the end."""

from __future__ import annotations

import json
import os
import resource
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, gather_object
from torch.nn.parallel import DistributedDataParallel

from kdcore.data.memory import gigabytes
from kdcore.data.mix import Mixer
from kdcore.distill.splits import Splits, open_splits
from kdcore.errors import Problem, RunFailed, UserError
from kdcore.models import save_student
from kdcore.run.changes import Changes, compare
from kdcore.run.end import complete
from kdcore.run.environment import environment
from kdcore.run.fingerprint import Fingerprint, fingerprint
from kdcore.run.loop import Training
from kdcore.run.preflight import count
from kdcore.run.prepare import Prepared, Process, prepare
from kdcore.run.result import RunResult
from kdcore.run.trackers import Trackers
from kdcore.rundir.directory import EMA
from kdcore.spec.load import resolved_dict

if TYPE_CHECKING:
    from kdcore.distill.distillation import Distillation
    from kdcore.plugins import Plugins
    from kdcore.run.cached_teacher import CachedTeacher
    from kdcore.run.display import Display
    from kdcore.run.signals import StopRequest
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import RunSpec

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class Session:
    """Builds a run, trains it, and writes its end."""

    def __init__(
        self,
        loaded: LoadedSpec,
        plugins: Plugins,
        directory: RunDirectory,
        display: Display,
        stop: StopRequest,
        until: int | None = None,
        accept_changes: bool = False,
    ) -> None:
        self.until = until
        self.accept_changes = accept_changes
        self.loaded = loaded
        self.spec = loaded.spec
        self.plugins = plugins
        self.directory = directory
        self.display = display
        self.stop = stop
        self.trackers = Trackers(directory, display.warn)
        self.training: Training | None = None
        self.prepared: Prepared | None = None

    def run(self) -> RunResult:
        """Train to the end and write the summary and the student, or to epoch `until` and write a summary.

        Raises:
            RunFailed: the run could not go on.
            Interrupted: it was asked to stop.
        """
        training, splits = self.begin()
        self._show_teacher(training, splits.num_classes)
        if training.accelerator.is_main_process:
            self.plugins.run_started(self.directory)
        training.fit(self.until)
        if training.epoch < self.spec.train.epochs:
            summary = self.conclude("paused")
            self.display.note(f"paused after epoch {training.epoch} of {self.spec.train.epochs}")
            return RunResult(self.directory.path, summary, training.records)
        training.make_whole()
        summary = self.conclude("finished")
        if training.accelerator.is_main_process:
            prepared = self.prepared
            assert prepared is not None
            self._save_students(prepared, splits, training, summary)
            self.directory.write_summary(summary)
            complete(self.directory, self.plugins, self.display)
        training.accelerator.wait_for_everyone()
        return RunResult(self.directory.path, summary, training.records)

    def begin(self) -> tuple[Training, Splits]:
        """All that comes before the first step: what is trained, where its last checkpoint left it."""
        accelerator = make_accelerator(self.spec)
        splits = open_splits(self.spec, self.plugins, self.loaded.teacher)
        prepared = self.prepared = prepare(
            self.loaded,
            splits,
            self.plugins,
            Process(accelerator.device, accelerator.process_index, accelerator.num_processes),
        )
        for text in prepared.warnings:
            self.display.warn(text)
        kept = {"training": prepared.train.kept_bytes, "evaluation": prepared.eval.kept_bytes}
        if told := [f"{name} {gigabytes(size)}" for name, size in kept.items() if size]:
            self.display.note(f"data     decoded images stay in memory: {', '.join(told)}")
        _keep_own_buffers(prepared.distillation)
        cached = self._cached_teacher(accelerator, prepared, splits)
        training = self.training = self._training(accelerator, prepared, splits.num_classes, cached)
        training.fingerprint = self._fingerprint(accelerator, prepared, splits)
        # before anything is written: a refused run leaves the directory as it was
        self._resume(training)
        if accelerator.is_main_process:
            self._write_beginning(training)
        if self.spec.train.fsdp is not None and training.shards is None:
            self.display.note("fsdp     there is one process: it has all weights")
        return training, splits

    def _fingerprint(
        self, accelerator: Accelerator, prepared: Prepared, splits: Splits
    ) -> Fingerprint | None:
        """What the run is fed; only the main process, which writes the checkpoints, looks at it."""
        if not accelerator.is_main_process:
            return None
        return fingerprint(
            self.loaded, prepared, splits, self.plugins, accelerator.device, accelerator.num_processes
        )

    def _write_beginning(self, training: Training) -> None:
        accelerator = training.accelerator
        about = environment(
            self.plugins, accelerator.device, accelerator.num_processes, self.directory.path.parent
        )
        about |= {"started": datetime.now(UTC).isoformat(timespec="seconds"), "from_step": training.step}
        if training.accepted and training.accepted[-1]["step"] == training.step:
            about["accepted_changes"] = training.accepted[-1]["changes"]
        resolved = json.loads(json.dumps(resolved_dict(self.loaded)))
        self.directory.begin(resolved, about)
        if training.records:
            self.directory.write_metrics(training.records)
        self.trackers.start(self.spec, resolved)

    def conclude(self, status: str, error: str | None = None) -> dict[str, Any]:
        """The summary as things stand; written unless the run is finished, when the student comes first."""
        training, prepared = self.training, self.prepared
        self.trackers.close()
        if training is None or prepared is None:
            return {"status": status}
        last: dict[str, Any] = training.records[-1] if training.records else {}
        rates = [record["images_per_second"] for record in training.records]
        summary: dict[str, Any] = {
            "status": status,
            "student": {
                "model": prepared.models.student.built.name,
                **{name: last.get("eval", {}).get(name) for name in ("top1", "top5", "agreement")},
                **{f"best_{name}": value for name, value in training.best.items()},
                "parameters": count(training.student),
            },
            "distiller": {"parameters": count(training.distillation.distillers)},
            "teacher": None,
            "data": {
                "num_classes": training.distillation.num_classes,
                "train_size": None if prepared.train.stream else prepared.train.size,
                "eval_size": prepared.eval.total,
                "image_size": list(prepared.models.input.image_size),
                "train_split": prepared.train_split,
                "eval_split": prepared.eval_split,
            },
            "epochs": training.epoch,
            "steps": training.step,
            "images_per_second": sum(rates) / len(rates) if rates else None,
            "wall_seconds": training.wall_seconds,
            "peak_memory_bytes": _peak_memory(training.accelerator.device),
        }
        if training.skipped is not None:
            summary["skipped"] = training.skipped.counts()
        if "ema" in last:
            summary["student"]["ema"] = last["ema"]
        if prepared.models.teacher is not None:
            teacher = prepared.models.teacher.built
            summary["teacher"] = {
                "model": teacher.name,
                **{name: (training.teacher_scores or {}).get(name) for name in ("top1", "top5")},
                "parameters": teacher.parameters,
            }
        if training.accepted:
            summary["accepted_changes"] = training.accepted
        if error is not None:
            summary["error"] = error
        if status != "finished" and training.accelerator.is_main_process:
            self.directory.write_summary(summary)
        return summary

    # -- its parts -------------------------------------------------------------------------------------------

    def _cached_teacher(
        self, accelerator: Accelerator, prepared: Prepared, splits: Splits
    ) -> CachedTeacher | None:
        if self.spec.teacher_cache is None:
            return None
        from kdcore.run.cached_teacher import CachedTeacher, open_cache

        with accelerator.main_process_first():  # it makes the files
            cache = open_cache(self.loaded, prepared, splits, self.display.warn)
        self.display.note(f"cache    {cache.path}: {cache.rows_filled:,} of {cache.rows_total:,} rows filled")
        return CachedTeacher(cache, prepared.distillation, accelerator)

    def _training(
        self, accelerator: Accelerator, prepared: Prepared, num_classes: int, cached: CachedTeacher | None
    ) -> Training:
        data = self.spec.data
        mixer = None
        if data.mixup > 0 or data.cutmix > 0:
            mixer = Mixer(data.mixup, data.cutmix, num_classes, seed=self.spec.seed)
        return Training(
            self.spec,
            prepared,
            mixer,
            self.directory,
            accelerator,
            self.display,
            self.plugins,
            self.stop,
            cached,
            self.trackers,
        )

    def _resume(self, training: Training) -> None:
        with training.accelerator.main_process_first():  # it clears up what a killed process left
            state = training.checkpoints.load(self.display.warn)
        _check_same(training.accelerator, -1 if state is None else state["position"]["step"])
        if state is None:
            if training.checkpoints.any:
                self.display.warn("no checkpoint is whole: the run begins anew")
            return
        changes = self._changes(training, state)
        training.load(state)
        if changes is not None and changes.problems:
            training.accept(changes)
        where = f"epoch {training.epoch}" + (f", batch {training.batch}" if training.batch else "")
        self.display.note(f"going on from the checkpoint after {where} (step {training.step})")

    def _changes(self, training: Training, state: dict[str, Any]) -> Changes | None:
        """What changed under the run since its checkpoint.

        Raises:
            UserError: something that results depend on, and nobody said that the run accepts it.
        """
        accelerator, before = training.accelerator, state.get("fingerprint")
        complete = state["position"]["epoch"] >= self.spec.train.epochs  # only its end is done again
        found: list[Changes | None] = [None]
        if accelerator.is_main_process and before is not None and not complete:
            assert training.fingerprint is not None
            found = [compare(before, training.fingerprint)]
        if accelerator.num_processes > 1:
            broadcast_object_list(found)
        changes = found[0]
        if changes is None:
            return None
        for note in changes.notes:
            self.display.note(note)
        if changes.problems and not self.accept_changes:
            raise UserError(changes.problems)
        for problem in changes.problems:
            self.display.warn(f"accepted: {problem.where}: {problem.message}")
        return changes

    def _show_teacher(self, training: Training, num_classes: int) -> None:
        measured = training.measure_teacher()
        scores = training.teacher_scores or {}
        if measured is None or scores.get("top1") is None:
            return
        top1 = scores["top1"]
        more = f", top-5 {scores['top5']:.2f} %" if scores.get("top5") is not None else ""
        self.display.note(f"teacher  top-1 {top1:.2f} %{more} on the evaluation images")
        chance = 100 / num_classes
        if top1 < chance + 0.1 * (100 - chance):
            self.display.warn(
                f"teacher: its top-1 of {top1:.2f} % is little better than chance ({chance:.2f} %)"
            )

    def _save_students(
        self, prepared: Prepared, splits: Splits, training: Training, summary: dict[str, Any]
    ) -> None:
        save = {
            "model_name": prepared.models.student.built.name,
            "num_classes": splits.num_classes,
            "input": prepared.models.input,
            "options": self.spec.student.options,
            "small_input": self.spec.student.small_input,
            "class_names": splits.classes,
            "metrics": summary["student"],
        }
        save_student(training.student, self.directory.student, **save)
        if training.ema is not None:
            save_student(training.ema.module, self.directory.path / EMA, **save)


def make_accelerator(spec: RunSpec) -> Accelerator:
    """Device, precision and processes of one run.

    Raises:
        UserError: `accelerate launch` was told to wrap models in its own way.
    """
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM"):
        if os.environ.get(name, "false").lower() == "true":
            message = "accelerate's configuration wraps the model, which a spec does not know of"
            hint = (
                "take it out of the configuration; train.fsdp in the spec spreads the weights over processes"
            )
            raise UserError(Problem(name, message, os.environ[name], hint=hint))
    # accelerate keeps the first Accelerator's precision for the whole process; a teacher's run has its own
    AcceleratorState._reset_state()
    GradientState._reset_state()
    handlers = []
    if spec.task.weight == 0:
        # the classifier may be in no loss
        handlers.append(DistributedDataParallelKwargs(find_unused_parameters=True))
    accelerator = Accelerator(
        # unasked, accelerate takes each process without a GPU for a run of its own
        cpu=not torch.accelerator.is_available(),
        mixed_precision=_PRECISIONS[spec.train.precision],
        kwargs_handlers=handlers,
    )
    if spec.train.precision == "fp16" and accelerator.device.type == "cpu":
        # accelerate knows fp16 on accelerators only, and would go on in fp32; torch has it on CPUs too
        accelerator.native_amp, accelerator.scaler = True, torch.amp.GradScaler("cpu")
    return accelerator


def _check_same(accelerator: Accelerator, step: int) -> None:
    """All processes go on from one checkpoint.

    Raises:
        RunFailed: they found different ones.
    """
    if accelerator.num_processes == 1:
        return
    steps = gather_object([step])
    if len(set(steps)) > 1:
        found = ", ".join("none" if one < 0 else f"step {one}" for one in steps)
        raise RunFailed(
            f"the processes found different checkpoints ({found}): 'output' has to be a folder that all of them share"
        )


def _keep_own_buffers(distillation: Distillation) -> None:
    """Spare DDP sending the distillers' buffers around each step: whole batches keep memory banks equal."""
    names = [f"distillers.{name}" for name, _ in distillation.distillers.named_buffers()]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
        distillation, names
    )


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
