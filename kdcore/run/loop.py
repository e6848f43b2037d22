"""The training loop: batch -> teacher and student -> loss terms -> step, with evaluation and checkpoints."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import torch
from torch import Tensor

from kdcore.distill.recompute import unchanged
from kdcore.distill.seeds import derive, seed_device
from kdcore.distill.sync_norm import share_running_statistics
from kdcore.distill.with_heads import shipped_model
from kdcore.errors import Interrupted
from kdcore.protocols import Progress
from kdcore.run.agreement import Agreement
from kdcore.run.early_stop import patience_over
from kdcore.run.final_test import measure_test
from kdcore.run.kept_evaluation import caches_of
from kdcore.run.measures import Measures, Stopped
from kdcore.run.meter import Meter
from kdcore.run.optimizer import build_optimizer, build_scheduler
from kdcore.run.ranking import Ranking
from kdcore.run.saving import Saver, Stateful
from kdcore.run.separate import SeparateGradients, wants_both
from kdcore.run.sharding import make_whole, shard
from kdcore.run.skipped_images import Skipped
from kdcore.run.state import RunState
from kdcore.spec.train_spec import scaled_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from accelerate import Accelerator

    from kdcore.data import RawBatch
    from kdcore.data.mix import Mixer
    from kdcore.inspect.encoder_measures import EncoderEvaluation
    from kdcore.run.context import RunContext
    from kdcore.run.evaluation import Evaluation
    from kdcore.run.prepare import Prepared
    from kdcore.run.table_teacher import GivesOutputs
    from kdcore.run.trackers import Trackers

    _Found: TypeAlias = Evaluation | EncoderEvaluation

Measured = TypeVar("Measured")


class Training:
    """One run's training, from its first step or from a checkpoint.

    Attributes:
        state: the position and records of the run.
        saver: writes and reads its checkpoints.
    """

    def __init__(
        self,
        context: RunContext,
        prepared: Prepared,
        accelerator: Accelerator,
        *,
        mixer: Mixer | None = None,
        cached_teachers: Mapping[str, GivesOutputs] | None = None,
        trackers: Trackers | None = None,
    ) -> None:
        spec = context.loaded.spec
        self.spec, self.context, self.accelerator = spec, context, accelerator
        self.distillation, self.student = prepared.distillation, prepared.distillation.student
        self.shipped = prepared.distillation.shipped
        self.train_data, self.ema = prepared.train, prepared.ema
        self.teacher_averages = prepared.teacher_averages
        self.mixer, self.cached_teachers, self.trackers = mixer, cached_teachers, trackers
        self.skipped = None
        if spec.data.skip_broken:
            self.skipped = Skipped(prepared.train, prepared.eval, context.display)
        several = spec.task.kind == "labels"
        self.meter = Meter(accelerator.device, prepared.distillation.names, several_labels=several)
        self.steps_per_epoch = -(-self.train_data.batches_per_epoch // spec.train.accumulate)
        self._recomputed = list(self.student.buffers()) if spec.train.grad_checkpointing else []
        self.shards = shard(spec, prepared, accelerator)
        optimizer = build_optimizer(scaled_optimizer(spec.optimizer, spec.train), self.distillation)
        self.scheduler = build_scheduler(
            spec.scheduler, optimizer, epochs=spec.train.epochs, steps_per_epoch=self.steps_per_epoch
        )
        self.separate = None
        if wants_both(spec.optimizer):
            self.separate = SeparateGradients(
                optimizer, self.distillation.parameters(), accelerator, align=spec.optimizer.align_gradients
            )
        self.model = self._model()
        # accelerate's optimizer scales the gradients of fp16. For other precisions it only looks for a package that is
        # not installed, in each step.
        self.optimizer = optimizer if accelerator.scaler is None else accelerator.prepare_optimizer(optimizer)
        self.state = RunState()
        self.agreement = Agreement(accelerator)
        self._found: _Found | None = None  # of the student after the last epoch
        parts = Stateful(
            distillation=self.distillation,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            ema=self.ema,
            teacher_averages=self.teacher_averages,
            meter=self.meter,
            skipped=self.skipped,
            accelerator=accelerator,
        )
        self.tested: dict[str, Any] | None = None  # on the test images, at the end
        caches = caches_of(cached_teachers)

        def test(thresholds: Tensor | None) -> dict[str, Any] | None:
            return measure_test(context, prepared, accelerator, self.shards, self.shipped, thresholds, caches)

        self._test = test
        self.measures = Measures(context, prepared, accelerator, self.state, self.shards, caches)
        self.shipped_as = shipped_model(context.loaded, prepared.distillation, prepared.models)
        self.saver = Saver(context.directory, self.state, parts, self.agreement.now, self.shipped_as)

    def _model(self) -> Any:
        """The distillation as the steps call it: compiled, and distributed over the processes."""
        spec = self.spec
        whole = spec.train.compile == "step"
        if whole:
            apart = [member.name for member in spec.members if member.spec.compile is False]
            self.distillation.compile_step(self.context.display.warn, apart=apart)
        elif spec.train.compile:
            self.distillation.compile_student()
        for member in spec.members:
            if whole and self.cached_teachers is None:
                continue  # its pass is a part of the step
            if spec.train.compile if member.spec.compile is None else member.spec.compile:
                self.distillation.teacher_passes[member.name].compile()
        if self.shards is None:
            return self.accelerator.prepare_model(self.distillation)
        # accelerate sets its precision, but must not wrap it in DDP
        return self.accelerator.prepare_model(self.shards.root, evaluation_mode=True)

    # -- the run ---------------------------------------------------------------------------------------------

    def fit(self, until: int | None = None) -> None:
        """Train to the last epoch, or until `until` epochs are complete.

        Raises:
            RunFailed: a loss is not finite.
            Interrupted: the run was asked to stop; a checkpoint was written.
        """
        epochs = self.spec.train.epochs
        self.context.display.metric = self.spec.train.metric
        self.context.display.begin(epochs, self.state.epoch)
        try:
            self._schedule(self.state.epoch)
            self.saver.complete_best()
            while not self.complete and (until is None or self.state.epoch < until):
                self._train_epoch()
                self._end_epoch()
        finally:
            self.context.display.close()

    @property
    def complete(self) -> bool:
        """Whether the training is at its end: after the last epoch, or earlier as `state.ended` says."""
        return self.state.ended is not None or self.state.epoch >= self.spec.train.epochs

    def finish(self) -> dict[str, Any]:
        """After training, make the student the one that is kept, whole in the main process.

        Returns:
            What is known of it: its `epoch`, and what was measured after that.
        """
        epoch = self.state.epoch
        if self.spec.train.keep == "best":
            epoch = self.saver.load_best()
        found = self._found if epoch == self.spec.train.epochs else None
        if found is None and self.measures.has_final:
            found = self._measured(lambda: self.measures.student(self.shipped, final=True))
        details = getattr(found, "details", None)
        thresholds = None if details is None else details.thresholds
        self.tested = self._measured(lambda: self._test(thresholds))
        self._make_whole()
        more = {} if found is None else {**found.as_dict(), "details": details}
        if details is not None:
            more |= details.overall
        return {**more, **self.state.records[epoch - 1]["eval"], "epoch": epoch}

    def _make_whole(self) -> None:
        for model in (self.shipped, *(() if self.ema is None else (self.ema.module,))):
            make_whole(model, self.accelerator.is_main_process)

    def measure_teachers(self) -> list[str]:
        """Measure each teacher on the evaluation images, once per run; the names of those measured now."""
        return self._measured(self.measures.teachers)

    def _measured(self, measure: Callable[[], Measured]) -> Measured:
        """What `measure` returns; a request to stop ends it, and the next process measures again."""
        try:
            return measure()
        except Stopped:
            # after the last epoch all is saved, and `finish` may have put the best epoch's weights into the student
            if not self.complete or self.saver.saved_step != self.state.step:
                self.saver.save()
            self._interrupt()

    # -- an epoch --------------------------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        for _ in self.batches():
            pass

    def batches(self) -> Iterator[None]:
        """Train the rest of the current epoch, without its evaluation; the caller may stop after any batch."""
        state, display = self.state, self.context.display
        batches, accumulate = self.train_data.batches_per_epoch, self.spec.train.accumulate
        display.epoch(state.epoch, batches, state.batch)
        self.distillation.train()
        if state.batch == 0:
            self.meter.reset()
            state.epoch_seconds = 0.0
        looked = mark = time.monotonic()
        first = state.batch
        for raw in self.train_data.epoch(state.epoch, skip=state.batch):
            size = min(accumulate, batches - state.batch // accumulate * accumulate)
            last = (state.batch + 1) % accumulate == 0 or state.batch + 1 == batches
            if self.skipped is not None:
                self.skipped.train.update(raw.broken)
            self._forward_backward(raw, size, last)
            state.batch += 1
            now = time.monotonic()
            rate = (state.batch - first) * self.train_data.batch_size / (now - mark)
            display.advance(rate)
            if now - looked > display.seconds_between_losses:
                looked = now
                self.meter.check(self.saver.saved_step)
                display.losses(self.meter.read())
            if last:
                self.take_step()
                if state.batch < batches:
                    self._pause(mark)
            yield
        state.epoch_seconds += time.monotonic() - mark

    def _forward_backward(self, raw: RawBatch, size: int, last: bool) -> None:
        state, device = self.state, self.accelerator.device
        # dropout and drop path draw from this generator: a function of seed, epoch, batch and process
        seed = derive(self.spec.seed, "step", state.epoch, state.batch, self.accelerator.process_index)
        seed_device(device, seed)
        images = raw.images  # already on the device, see `RawBatch`
        target = None if raw.target is None else raw.target.to(device, non_blocking=True)
        index = None if raw.index is None else raw.index.to(device, non_blocking=True)
        if self.mixer is not None:
            images, target = self.mixer(images, target, state.epoch, state.batch)
        if self.spec.train.channels_last and images.dim() == 4:
            images = images.to(memory_format=torch.channels_last)
        progress = Progress(
            epoch=state.epoch + state.batch / self.train_data.batches_per_epoch,
            step=state.step,
            total_steps=self.steps_per_epoch * self.spec.train.epochs,
            total_epochs=self.spec.train.epochs,
        )
        teacher_output = None
        if self.cached_teachers is not None:
            teacher_output = {
                name: cached(state.epoch, images, raw.cached_by)
                for name, cached in self.cached_teachers.items()
            }
        alone = not last or self.separate is not None  # without DDP's averages
        with self.accelerator.no_sync(self.model) if alone else contextlib.nullcontext():
            output = self.model(
                images,
                target,
                index=index,
                progress=progress,
                teacher_output=teacher_output,
                partner=raw.partner,
            )
            with unchanged(self._recomputed):
                loss = output.loss if size == 1 else output.loss / size
                if self.separate is not None:
                    self.separate.add(output, size)
                elif self.accelerator.scaler is None:
                    loss.backward()
                else:
                    self.accelerator.backward(loss)
        self.meter.add(output, target, state.step, len(images))

    def take_step(self) -> None:
        """One optimizer step with the gradients that the batches accumulated."""
        if self.separate is not None:
            self.separate.hand_over(self.spec.train.clip_grad)
        elif self.spec.train.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.spec.train.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        if self.scheduler is not None:
            self.scheduler.step_update(self.state.step)
        if self.ema is not None:
            self.ema.update(self.shipped, step=self.state.step)
        for name, average in self.teacher_averages.items():
            average.update(self.distillation.teachers[name], step=self.state.step)

    def _pause(self, mark: float) -> None:
        """Between two steps of an epoch: write a checkpoint if one is due, and stop if asked to."""
        due = time.monotonic() - self.saver.saved_at > 60 * self.spec.checkpoint.minutes
        due, stop = self.agreement.between_steps(due, self.context.stop.signal is not None)
        if not due and not stop:
            return
        before = self.state.epoch_seconds
        self.state.epoch_seconds += time.monotonic() - mark
        self.saver.save()
        if stop:
            self._interrupt()
        self.state.epoch_seconds = before

    def _end_epoch(self) -> None:
        state = self.state
        self.saver.check()
        means = self.meter.read(self._reduce)
        # all processes evaluate and save the same model
        averaged_models = [] if self.ema is None else [self.ema.module]
        averaged_models += [one.module for one in self.teacher_averages.values()]
        share_running_statistics([self.shipped, *averaged_models, *self.distillation.learners])
        teachers = self._measured(self.measures.learners)
        found = self._measured(lambda: self.measures.student(self.shipped))
        self._found = found
        averaged = None
        if self.ema is not None:
            average = self.ema.module
            averaged = self._measured(lambda: self.measures.student(average))
        # do not stop from here on: the epoch counts once its record is written
        state.epoch, state.batch = state.epoch + 1, 0
        record = self._record(means, found, averaged, teachers)
        state.records.append(record)
        asked: str | None = None
        if self.skipped is not None:
            self.skipped.settle()
        ranking = Ranking.of(found, self.spec.train.metric)
        self._schedule(state.epoch, ranking.score)
        better = state.better(ranking)
        if not self.complete:
            state.ended = self._patience_over(ranking)
        self.saver.save()
        if better:  # after the checkpoint, which says that it is the best: see `complete_best`
            self.saver.save_best()
        self.context.display.epoch_ended(record)
        if self.accelerator.is_main_process:
            self.context.directory.write_metrics(state.records)
            if self.trackers is not None:
                self.trackers.epoch_ended(state.records)
            asked = self.context.plugins.epoch_ended(self.context.directory, record)
        stop, end = self.agreement.now(self.context.stop.signal is not None, asked is not None)
        if end and not self.complete:
            state.ended = asked or "a plugin asked for it"  # its text is known in the main process
            self.saver.save()
        if stop and not self.complete:
            self._interrupt()

    def _record(
        self, means: dict[str, Any], found: _Found, averaged: _Found | None, teachers: dict[str, Any]
    ) -> dict[str, Any]:
        """The epoch's line of metrics.jsonl."""
        images = self.train_data.batches_per_epoch * self.train_data.batch_size
        record: dict[str, Any] = {
            "epoch": self.state.epoch,
            # with layer decay each group has its own rate: the head's is the one in the spec
            "lr": max(group["lr"] for group in self.optimizer.param_groups),
            "loss": means["loss"],
            "task_loss": means["task_loss"],
            "terms": means["terms"],
            "train": {"top1": means["top1"], "top5": means["top5"]},
            "eval": found.as_dict(),
            "images_per_second": images / max(self.state.epoch_seconds, 1e-9),
        }
        if averaged is not None:
            record["ema"] = averaged.as_dict()
        if teachers:
            record["teachers"] = teachers
        return record

    def _patience_over(self, ranking: Ranking) -> str | None:
        """Why the training ends after this epoch: `train.patience`; None if it goes on."""
        name = ranking.name
        scores = [] if name is None else [record["eval"].get(name) for record in self.state.records]
        return patience_over(scores, self.spec.train, name)

    def stop_between_batches(self) -> None:
        """Before the first step: stop if the run was asked to; nothing is saved yet.

        Raises:
            Interrupted: it was.
        """
        (stop,) = self.agreement.now(self.context.stop.signal is not None)
        if stop:
            name = (
                self.context.stop.signal.name if self.context.stop.signal is not None else "another process"
            )
            message = f"stopped by {name} before the first step; the same command begins again"
            raise Interrupted(message, self.context.stop.exit_code)

    def _schedule(self, epoch: int, metric: float | None = None) -> None:
        if self.scheduler is None:
            return
        self.scheduler.step(epoch, metric)
        self.scheduler.step_update(self.state.step)

    def _reduce(self, sums: Tensor) -> Tensor:
        reduced: Tensor = self.accelerator.reduce(sums, reduction="sum")
        return reduced

    def _interrupt(self) -> NoReturn:
        name = self.context.stop.signal.name if self.context.stop.signal is not None else "another process"
        raise Interrupted(
            f"stopped by {name} after step {self.state.step}; a checkpoint was written: "
            "the same command continues from it",
            self.context.stop.exit_code,
        )
