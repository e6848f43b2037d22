"""What a run measures on the evaluation images: its teachers, and the student after each epoch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.errors import Problem, UserError
from kdcore.inspect.metrics import load_metrics
from kdcore.run.evaluate import evaluate
from kdcore.run.evaluate_encoder import Embedder, EncoderEvaluator
from kdcore.run.evaluation import Evaluation, Wanted
from kdcore.run.finite_checks import ADVICE
from kdcore.run.kept_evaluation import KeptEvaluation
from kdcore.run.table_teacher import InOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator
    from torch import Tensor, nn

    from kdcore.distill.model_images import ModelImages
    from kdcore.distill.teacher_passes import TeacherPasses
    from kdcore.inspect.encoder_measures import EncoderEvaluation
    from kdcore.run.context import RunContext
    from kdcore.run.prepare import Prepared
    from kdcore.run.sharding import Shards
    from kdcore.run.state import RunState
    from kdcore.teacher_cache.cache import TeacherCache


_MOST_SCORES: Final = 100_000_000  # images x classes whose logits are kept for mAP: 400 MB


class Stopped(Exception):
    """A request to stop ended an evaluation."""


class Measures:
    """The measurements of a run.

    Args:
        context: the run.
        prepared: its models and data.
        accelerator: device, precision and the other processes.
        state: where the results of the teachers are kept.
        shards: the sharded models, if the weights are distributed over the processes.
        caches: of the teachers, by name: on a CPU they keep the logits for these images, too.

    Attributes:
        metrics: those of plugins.
        encoders: measures embeddings, for a student without a classifier; None for a classifier.
        thresholds: with several labels an image the threshold of each label, for the measures `tuned_*`; None: those
            that are the best on the images that are measured.
    """

    def __init__(
        self,
        context: RunContext,
        prepared: Prepared,
        accelerator: Accelerator,
        state: RunState,
        shards: Shards | None,
        caches: Mapping[str, TeacherCache] | None = None,
    ) -> None:
        spec = context.loaded.spec
        self._spec, self._context, self._accelerator = spec, context, accelerator
        self._state, self._shards, self._caches = state, shards, caches or {}
        self._taken = prepared.models.input
        self._teachers, self._data = prepared.distillation.teacher_passes, prepared.eval
        self._num_classes = prepared.distillation.num_classes
        self._average = None if prepared.ema is None else prepared.ema.module
        self._averages = prepared.teacher_averages
        self._images = {name: one.images for name, one in prepared.models.teachers.items()}
        self._student_images = prepared.models.student.images
        self._tables = prepared.tables
        self.encoders = None
        if not spec.student.classifier:
            self.encoders = EncoderEvaluator(
                accelerator=accelerator,
                queries=prepared.eval,
                gallery=prepared.gallery,
                num_classes=prepared.distillation.num_classes,
                advance=self._look_for_stop,
            )
        names = spec.metrics if spec.student.classifier else ()  # they read probabilities
        self._labels = spec.task.kind == "labels"
        self.metrics = load_metrics(names, context.plugins, context.display.warn, task=spec.task.kind)
        self.thresholds: Tensor | None = None

    def teachers(self) -> list[str]:
        """Measure each teacher, once per run; the names of those measured now.

        For a student without a classifier, their embeddings are measured as the student's is. Teachers that learn, and
        the student's average, are measured after each epoch.

        Raises:
            Stopped: the run was asked to stop.
            UserError: the logits of a teacher are NaN or infinite.
        """
        measured = []
        for name, teacher in self._teachers.items():
            if teacher.learns or teacher.model is self._average or name in self._state.teacher_scores:
                continue
            if self.encoders is not None:
                self._measure_embedding(name, teacher)
                measured.append(name)
            elif teacher.info.has_logits and self._measure_logits(name, teacher):
                measured.append(name)
        return measured

    def learners(self) -> dict[str, Any]:
        """The results of the teachers that learn after an epoch, by name.

        Raises:
            Stopped: the run was asked to stop.
        """
        measured = {}
        for name, teacher in self._teachers.items():
            if teacher.learns:
                found = self._evaluate(teacher.model, self._images[name], teacher)
                self._warn_not_finite(f"teacher '{name}'", found)
                self._keep(name, found)
                measured[name] = found.as_dict()
            if name in self._averages:
                averaged = self._evaluate(self._averages[name].module, self._images[name], teacher)
                measured[name]["ema"] = averaged.as_dict()
        return measured

    def student(self, model: nn.Module, *, final: bool | None = None) -> Evaluation | EncoderEvaluation:
        """The results of the student, or of its average, after an epoch; warns if logits are NaN or infinite.

        Args:
            model: the student, or its average.
            final: whether it is measured in detail: a classifier with mAP, intervals, and the measures of each class;
                an encoder by a linear probe. None: in the last epoch.

        Raises:
            Stopped: the run was asked to stop.
        """
        probe = self._state.epoch + 1 == self._spec.train.epochs if final is None else final
        if self.encoders is None:
            found = self._evaluate(model, self._student_images, details=probe)
            self._warn_not_finite(
                "the student" if model is not self._average else "the student's average", found
            )
            return found
        embedder = Embedder(
            model=model,
            transform=self._student_images,
            memory_format=self._memory_format,
            shards=self._shards,
        )
        return self.encoders(embedder, teachers=self._state.teacher_predictions, probe=probe)

    @property
    def has_final(self) -> bool:
        """Whether more is measured of the student at the end than after each epoch."""
        return self.encoders is not None or self._data.labelled

    def _measure_logits(self, name: str, teacher: TeacherPasses) -> bool:
        table = self._tables.get(name)
        if table is not None and table.evaluation is None:
            return False  # it does not know these images
        cache = self._caches.get(name)
        on_cpu = (
            self._accelerator.device.type == "cpu"
        )  # elsewhere, the pass is as fast as reading the pixels
        if table is None and cache is not None and on_cpu and self._shards is None:
            kept = KeptEvaluation(
                teacher.model, self._images[name], cache, self._taken, teacher.memory_format
            )
            found = self._evaluate(kept, None, teacher)
        elif table is None:
            found = self._evaluate(teacher.model, self._images[name], teacher)
        else:
            found = self._evaluate(InOrder.of(table, self._data), None, teacher)
        if found.not_finite:
            what = f"its logits are NaN or infinite for {found.not_finite:,} of the evaluation images"
            raise UserError(_not_finite(name, what, len(self._images)))
        self._keep(name, found)
        return True

    def _measure_embedding(self, name: str, teacher: TeacherPasses) -> None:
        assert self.encoders is not None
        try:
            call = teacher.embedding_pass()
        except UserError:  # it gives only feature maps, or logits
            self._state.teacher_scores[name] = {}
            return
        embedder = Embedder(
            model=teacher.model,
            call=call,
            transform=self._images[name],
            memory_format=teacher.memory_format,
            precision=teacher.autocast(self._accelerator.device),
            shards=self._shards,
        )
        try:
            found = self.encoders(embedder, probe=True)
        except ValueError as error:
            raise UserError(_not_finite(name, str(error), len(self._images))) from error
        self._keep(name, found)

    def _warn_not_finite(self, which: str, found: Evaluation) -> None:
        if found.not_finite:
            self._context.display.warn(
                f"{which}: its logits are NaN or infinite for {found.not_finite:,} of the evaluation images, so its "
                f"scores mean little. {ADVICE}"
            )

    def _keep(self, name: str, found: Evaluation | EncoderEvaluation) -> None:
        self._state.teacher_scores[name] = found.as_dict()
        if found.predictions is not None:
            self._state.teacher_predictions[name] = found.predictions

    def _evaluate(
        self,
        model: nn.Module,
        transform: ModelImages | None = None,
        teacher: TeacherPasses | None = None,
        *,
        details: bool = False,
    ) -> Evaluation:
        memory_format = self._memory_format
        precision: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if teacher is not None:
            memory_format = teacher.memory_format
            precision = teacher.autocast(self._accelerator.device)
        return evaluate(
            model,
            self._data,
            self._accelerator,
            transform=transform,
            teacher_predictions=self._state.teacher_predictions if teacher is None else None,
            memory_format=memory_format,
            precision=precision,
            advance=self._look_for_stop,
            shards=self._shards,
            wanted=Wanted(
                top_k=self._spec.task.top_k,
                map=self._spec.train.metric == "map" or (self._labels and self._scores_fit),
                details=details,
                details_map=details and self._scores_fit,
                metrics=self.metrics,
                labels=self._labels,
                thresholds=self.thresholds,
            ),
        )

    @property
    def _scores_fit(self) -> bool:
        """Whether the logits of all evaluation images may be kept for mAP."""
        total = self._data.total  # None: a stream of unknown length
        return total is not None and total * self._num_classes <= _MOST_SCORES

    @property
    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self._spec.train.channels_last else torch.contiguous_format

    def _look_for_stop(self) -> None:
        # several processes would have to agree at each batch: they stop at the end of the epoch
        if self._context.stop.signal is not None and self._accelerator.num_processes == 1:
            raise Stopped


def _not_finite(name: str, message: str, teachers: int) -> Problem:
    hint = (
        "its weights are finite: try teacher.precision 'fp32', its own normalisation "
        "(data.mean, data.std), or another checkpoint"
    )
    return Problem("teacher" if teachers == 1 else f"teacher '{name}'", message, hint=hint)
