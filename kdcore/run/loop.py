"""The training loop: batch -> teacher and student -> loss terms -> step, with evaluation and checkpoints."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from kdcore.distill.recompute import unchanged
from kdcore.distill.seeds import derive, seed_device
from kdcore.distill.sync_norm import share_running_statistics
from kdcore.errors import Interrupted, Problem, RunFailed, UserError
from kdcore.inspect.measures import has_top_5
from kdcore.protocols import Progress
from kdcore.run.evaluate import Evaluation, evaluate
from kdcore.run.finite_checks import check_finite
from kdcore.run.meter import Meter
from kdcore.run.optimizer import build_optimizer, build_scheduler
from kdcore.run.sharding import make_whole, shard, spread, spread_optimizer, whole
from kdcore.run.skipped_images import Skipped
from kdcore.rundir.checkpoints import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator

    from kdcore.data import RawBatch
    from kdcore.data.mix import Mixer
    from kdcore.distill.teacher_images import TeacherImages
    from kdcore.plugins import Plugins
    from kdcore.run.cached_teacher import CachedTeacher
    from kdcore.run.changes import Changes
    from kdcore.run.display import Display
    from kdcore.run.fingerprint import Fingerprint
    from kdcore.run.prepare import Prepared
    from kdcore.run.signals import StopRequest
    from kdcore.run.trackers import Trackers
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.models import RunSpec


class _Stopped(Exception):
    """An evaluation was asked to stop."""


class Training:
    """One run's training, from its first step or from a checkpoint.

    The state is what a checkpoint holds: weights, optimizer, position, the epoch's sums, the records so far. There
    is no state of random generators: every draw is a function of the seed and of the step that it is made for.
    """

    def __init__(
        self,
        spec: RunSpec,
        prepared: Prepared,
        mixer: Mixer | None,
        run: RunDirectory,
        accelerator: Accelerator,
        display: Display,
        plugins: Plugins,
        stop: StopRequest,
        cached_teacher: CachedTeacher | None = None,
        trackers: Trackers | None = None,
    ) -> None:
        self.spec = spec
        self.distillation = prepared.distillation
        self.student = prepared.distillation.student
        self.teacher_images = None if prepared.models.teacher is None else prepared.models.teacher.images
        self.cached_teacher = cached_teacher
        self.train_data = prepared.train
        self.eval_data = prepared.eval
        self.mixer = mixer
        self.ema = prepared.ema
        self.run = run
        self.accelerator = accelerator
        self.display = display
        self.plugins = plugins
        self.stop = stop
        self.trackers = trackers
        self.checkpoints = Checkpoints(run.checkpoints)
        self.skipped = Skipped(prepared.train, prepared.eval, display) if spec.data.skip_broken else None
        self.meter = Meter(accelerator.device, prepared.distillation.names)
        accumulate = spec.train.accumulate
        self.steps_per_epoch = -(-self.train_data.batches_per_epoch // accumulate)
        self._recomputed = list(self.student.buffers()) if spec.train.grad_checkpointing else []
        self.shards = shard(spec, prepared, accelerator)
        optimizer = build_optimizer(spec.optimizer, self.distillation)
        self.scheduler = build_scheduler(
            spec.scheduler, optimizer, epochs=spec.train.epochs, steps_per_epoch=self.steps_per_epoch
        )
        own = None if spec.teacher is None else spec.teacher.compile
        self.distillation.compile_models(
            student=spec.train.compile, teacher=spec.train.compile if own is None else own
        )
        if self.shards is None:
            self.model = accelerator.prepare_model(self.distillation)
        else:  # accelerate gives it the precision, and is not to make it DDP's
            self.model = accelerator.prepare_model(self.shards.root, evaluation_mode=True)
        # accelerate's optimizer scales the gradients of fp16. For others it would do nothing but look, in each step,
        # for a package that is not there.
        self.optimizer = optimizer if accelerator.scaler is None else accelerator.prepare_optimizer(optimizer)
        self.epoch = 0  # epochs that are complete
        self.batch = 0  # batches of the running epoch that are done
        self.step = 0  # optimizer steps that are done
        self.records: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"top1": None, "agreement": None, "epoch": None}
        self.teacher_scores: dict[str, Any] | None = None
        self._teacher_predictions: Tensor | None = None
        self.fingerprint: Fingerprint | None = None  # what the run is fed; in the main process
        self.accepted: list[dict[str, Any]] = []  # changes under the run that its user accepted
        self.seconds = 0.0  # wall time of earlier processes
        self._training_seconds = 0.0  # of the running epoch, without evaluation
        self._started = time.monotonic()
        self._saved_at = time.monotonic()
        self._saved_step: int | None = None

    # -- the run ---------------------------------------------------------------------------------------------

    def fit(self, until: int | None = None) -> None:
        """Train to the last epoch, or until so many are complete.

        Raises:
            RunFailed: a loss is not finite.
            Interrupted: somebody asked to stop; a checkpoint was written.
        """
        epochs = self.spec.train.epochs
        self.display.begin(epochs, self.epoch)
        try:
            self._schedule(self.epoch)
            while self.epoch < (epochs if until is None else min(until, epochs)):
                self._train_epoch()
                self._end_epoch()
        finally:
            self.display.close()

    def make_whole(self) -> None:
        """After training: the main process has all weights of student and average."""
        for model in (self.student, *(() if self.ema is None else (self.ema.module,))):
            make_whole(model, self.accelerator.is_main_process)

    def measure_teacher(self) -> Evaluation | None:
        """The teacher's accuracy on the evaluation images, measured once a run."""
        teacher = self.distillation.teacher
        if teacher is None or self.teacher_scores is not None:
            return None
        found = self._evaluate(teacher, self.teacher_images, of_teacher=True)
        if found.not_finite:
            message = f"its logits are NaN or infinite for {found.not_finite:,} of the evaluation images"
            hint = (
                "its weights are finite: what to try is teacher.precision 'fp32', its own normalisation "
                "(data.mean, data.std), or another checkpoint"
            )
            raise UserError(Problem("teacher", message, hint=hint))
        self.teacher_scores = found.as_dict()
        self._teacher_predictions = found.predictions
        return found

    @property
    def wall_seconds(self) -> float:
        """Since the run began, over all its processes in time."""
        return self.seconds + time.monotonic() - self._started

    # -- an epoch --------------------------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        for _ in self.batches():
            pass

    def batches(self) -> Iterator[None]:
        """The rest of the running epoch, its evaluation left out; whoever iterates may stop after any batch."""
        batches, accumulate = self.train_data.batches_per_epoch, self.spec.train.accumulate
        self.display.epoch(self.epoch, batches, self.batch)
        self.distillation.train()
        if self.batch == 0:
            self.meter.reset()
            self._training_seconds = 0.0
        looked = mark = time.monotonic()
        first = self.batch
        for raw in self.train_data.epoch(self.epoch, skip=self.batch):
            size = min(accumulate, batches - self.batch // accumulate * accumulate)
            last = (self.batch + 1) % accumulate == 0 or self.batch + 1 == batches
            if self.skipped is not None:
                self.skipped.train.update(raw.broken)
            self._forward_backward(raw, size, last)
            self.batch += 1
            now = time.monotonic()
            rate = (self.batch - first) * self.train_data.batch_size / (now - mark)
            self.display.advance(rate)
            if now - looked > self.display.seconds_between_losses:
                looked = now
                self.meter.check(self._saved_step)
                self.display.losses(self.meter.read())
            if last:
                self._update()
                if self.batch < batches:
                    self._pause(mark)
            yield
        self._training_seconds += time.monotonic() - mark

    def _forward_backward(self, raw: RawBatch, size: int, last: bool) -> None:
        device = self.accelerator.device
        # dropout and drop path draw from here: a function of seed, epoch, batch and process
        seed = derive(self.spec.seed, "step", self.epoch, self.batch, self.accelerator.process_index)
        seed_device(device, seed)
        images = raw.images  # on the device already, as `RawBatch` says
        target = None if raw.target is None else raw.target.to(device, non_blocking=True)
        index = None if raw.index is None else raw.index.to(device, non_blocking=True)
        if self.mixer is not None:
            images, target = self.mixer(images, target, self.epoch, self.batch)
        if self.spec.train.channels_last and images.dim() == 4:
            images = images.to(memory_format=torch.channels_last)
        progress = Progress(
            epoch=self.epoch + self.batch / self.train_data.batches_per_epoch,
            step=self.step,
            total_steps=self.steps_per_epoch * self.spec.train.epochs,
            total_epochs=self.spec.train.epochs,
        )
        teacher_output = None
        if self.cached_teacher is not None:
            assert raw.index is not None  # no stream has a cache
            teacher_output = self.cached_teacher(self.epoch, images, raw.index)
        with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
            output = self.model(images, target, index=index, progress=progress, teacher_output=teacher_output)
            with unchanged(self._recomputed):
                loss = output.loss if size == 1 else output.loss / size
                if self.accelerator.scaler is None:
                    loss.backward()
                else:
                    self.accelerator.backward(loss)
        self.meter.add(output, target, self.step)

    def _update(self) -> None:
        if self.spec.train.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.spec.train.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.scheduler is not None:
            self.scheduler.step_update(self.step)
        if self.ema is not None:
            self.ema.update(self.student, step=self.step)

    def _pause(self, mark: float) -> None:
        """Between two steps of an epoch: a checkpoint where one is due, the end where it is asked for."""
        due = time.monotonic() - self._saved_at > 60 * self.spec.checkpoint.minutes
        due, stop = self._agree(due, self.stop.signal is not None)
        if not due and not stop:
            return
        before = self._training_seconds
        self._training_seconds += time.monotonic() - mark
        self.save()
        if stop:
            self._interrupt()
        self._training_seconds = before

    def _agree(self, *flags: bool) -> list[bool]:
        """What any process says holds for all: they stop and save at the same step."""
        if self.accelerator.num_processes == 1:
            return list(flags)
        mine = torch.tensor(flags, dtype=torch.int32, device=self.accelerator.device)
        return [bool(flag) for flag in self.accelerator.reduce(mine, reduction="sum").tolist()]

    def _end_epoch(self) -> None:
        self._check()
        means = self.meter.read(self._reduce)
        images = self.train_data.batches_per_epoch * self.train_data.batch_size
        # what is evaluated and saved is one model on all processes
        share_running_statistics([self.student] if self.ema is None else [self.student, self.ema.module])
        found = self._evaluate(self.student)
        averaged = None if self.ema is None else self._evaluate(self.ema.module)
        # from here on nothing stops: the epoch counts once it has its record
        self.epoch, self.batch = self.epoch + 1, 0
        record: dict[str, Any] = {
            "epoch": self.epoch,
            # with layer decay each group has its own: the head's is the one that the spec says
            "lr": max(group["lr"] for group in self.optimizer.param_groups),
            "loss": means["loss"],
            "task_loss": means["task_loss"],
            "terms": means["terms"],
            "train": {
                "top1": means["top1"],
                "top5": means["top5"] if has_top_5(self.distillation.num_classes) else None,
            },
            "eval": found.as_dict(),
            "images_per_second": images / max(self._training_seconds, 1e-9),
        }
        if averaged is not None:
            record["ema"] = averaged.as_dict()
        self.records.append(record)
        if self.skipped is not None:
            self.skipped.settle()
        self._schedule(self.epoch, found.top1)
        self._keep_best(found)
        self.save()
        self.display.epoch_ended(record)
        if self.accelerator.is_main_process:
            self.run.write_metrics(self.records)
            if self.trackers is not None:
                self.trackers.epoch_ended(self.records)
            self.plugins.epoch_ended(self.run, record)
        (stop,) = self._agree(self.stop.signal is not None)
        if stop and self.epoch < self.spec.train.epochs:
            self._interrupt()

    def _keep_best(self, found: Evaluation) -> None:
        """By top-1; where nothing is labelled, by the agreement with the teacher."""
        name = "agreement" if found.top1 is None else "top1"
        score = getattr(found, name)
        if score is None or (self.best[name] is not None and score <= self.best[name]):
            return
        self.best = {"top1": found.top1, "agreement": found.agreement, "epoch": self.epoch}
        student = whole(dict(self.student.state_dict()), self.accelerator.is_main_process)
        if self.accelerator.is_main_process:
            self.checkpoints.save_best({"student": student}, self.best)

    def _evaluate(
        self, model: torch.nn.Module, transform: TeacherImages | None = None, of_teacher: bool = False
    ) -> Evaluation:
        """Evaluate; a request to stop ends it between two batches, and the next process evaluates anew."""
        memory_format = torch.channels_last if self.spec.train.channels_last else torch.contiguous_format
        precision: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if of_teacher:
            memory_format = self.distillation.teacher_memory_format
            precision = self.distillation.teacher_autocast(self.accelerator.device)
        try:
            return evaluate(
                model,
                self.eval_data,
                self.accelerator,
                transform=transform,
                teacher_predictions=self._teacher_predictions,
                memory_format=memory_format,
                precision=precision,
                advance=self._stop_evaluation,
                shards=self.shards,
            )
        except _Stopped:
            self.save()
            self._interrupt()

    def _stop_evaluation(self) -> None:
        # several processes would have to agree, batch by batch: they stop at the end of the epoch
        if self.stop.signal is not None and self.accelerator.num_processes == 1:
            raise _Stopped

    def _schedule(self, epoch: int, metric: float | None = None) -> None:
        if self.scheduler is None:
            return
        self.scheduler.step(epoch, metric)
        self.scheduler.step_update(self.step)

    def _reduce(self, sums: Tensor) -> Tensor:
        reduced: Tensor = self.accelerator.reduce(sums, reduction="sum")
        return reduced

    def _interrupt(self) -> NoReturn:
        name = self.stop.signal.name if self.stop.signal is not None else "another process"
        raise Interrupted(
            f"stopped by {name} after step {self.step}; a checkpoint was written: the same command goes on from it",
            self.stop.exit_code,
        )

    # -- its state -------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint; never of a loss that is not finite.

        Raises:
            RunFailed: a loss is not finite.
        """
        self._check()
        state = whole(self._state(), self.accelerator.is_main_process)
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.step, state)
        self._saved_at, self._saved_step = time.monotonic(), self.step

    def _check(self) -> None:
        """Losses, weights and scale are good on all processes, which have to call it together.

        Raises:
            RunFailed: they are not.
        """
        failed = None
        try:
            self.meter.check(self._saved_step)
            check_finite(self.distillation, self.accelerator.scaler, self.step, self._saved_step)
        except RunFailed as error:
            failed = error
        (anywhere,) = self._agree(failed is not None)
        if failed is not None:
            raise failed
        if anywhere:
            raise RunFailed("another process of this run failed: its message says why")

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "distillation": dict(self.distillation.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self._plateau_state(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "ema": None if self.ema is None else dict(self.ema.module.state_dict()),
            "meter": self.meter.state_dict(self._reduce),
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.step},
            "records": self.records,
            "best": self.best,
            "teacher": self._measured_teacher(),
            "skipped": None if self.skipped is None else self.skipped.state_dict(),
            "seconds": {"wall": self.wall_seconds, "epoch": self._training_seconds},
            "fingerprint": self.fingerprint,
            "accepted": self.accepted,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.distillation.load_state_dict(spread(state["distillation"], self.distillation))
        self.optimizer.load_state_dict(spread_optimizer(state["optimizer"], self.optimizer))
        inner = getattr(self.scheduler, "lr_scheduler", None)
        if state["plateau"] is not None and inner is not None:
            inner.load_state_dict(state["plateau"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.ema is not None and state["ema"] is not None:
            self.ema.module.load_state_dict(spread(state["ema"], self.ema.module))
        self.meter.load_state_dict(state["meter"], self.accelerator.is_main_process)
        position = state["position"]
        self.epoch, self.batch, self.step = position["epoch"], position["batch"], position["step"]
        self.records = state["records"]
        self.best = state["best"]
        measured = state["teacher"]
        if self.accelerator.num_processes == 1 and measured is not None:
            self.teacher_scores, self._teacher_predictions = measured["scores"], measured["predictions"]
        if self.skipped is not None and state.get("skipped") is not None:
            self.skipped.load_state_dict(state["skipped"])
        self.seconds, self._training_seconds = state["seconds"]["wall"], state["seconds"]["epoch"]
        self.accepted = state.get("accepted") or []
        self._saved_step = self.step

    def accept(self, changes: Changes) -> None:
        """Record changes that the user accepted; a teacher that they concern is measured again."""
        self.accepted = [*self.accepted, {"step": self.step, "changes": changes.as_text()}]
        if changes.teacher:
            self.teacher_scores = self._teacher_predictions = None

    def _measured_teacher(self) -> dict[str, Any] | None:
        # of several processes each has the predictions for its own images: the next ones measure anew
        if self.accelerator.num_processes > 1:
            return None
        return {"scores": self.teacher_scores, "predictions": self._teacher_predictions}

    def _plateau_state(self) -> dict[str, Any] | None:
        # timm's other schedulers are functions of the epoch
        inner = getattr(self.scheduler, "lr_scheduler", None)
        if inner is None:
            return None
        plain = (bool, int, float, str, list, type(None))
        return {name: value for name, value in inner.state_dict().items() if isinstance(value, plain)}
