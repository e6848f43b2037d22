"""`Distillation`: student, teacher and distillers as the one module that is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.distill.build import DistillerLike, build_distillers
from kdcore.distill.gather import gather_batch, gather_output
from kdcore.distill.missing_progress import UnsaidProgress, warn_unsaid
from kdcore.distill.seeds import derive
from kdcore.distill.targets import TargetCheck, check_index
from kdcore.distill.terms import checked_terms
from kdcore.features import Extractor, find_adapter, model_info
from kdcore.models.fold import fold_batch_norm
from kdcore.ops import world_size
from kdcore.plugins import get_plugins
from kdcore.protocols import Batch, Distiller, FeatureAdapter, ModelOutput, Progress, Requires, Setup

_Extract = Callable[[Tensor], ModelOutput]
_START = Progress(epoch=0.0, step=0, total_steps=1, total_epochs=1)


class DistillationOutput(NamedTuple):
    """What one step gave.

    Attributes:
        loss: the task loss plus all terms, a scalar to call `backward` on.
        task_loss: the weighted loss against the ground truth, a scalar.
        terms: the distillers' loss terms by name, weighted scalars.
        logits: the student's `[B, K]`.
        teacher_logits: the teacher's `[B, K]`, or None where there is no teacher or nobody reads them.
    """

    loss: Tensor
    task_loss: Tensor
    terms: dict[str, Tensor]
    logits: Tensor
    teacher_logits: Tensor | None


class Distillation(nn.Module):
    """A student that learns from a teacher, for any training loop; the engine trains this same module.

    Its parameters are the student's and the distillers' heads; the teacher moves with it between devices, stays
    in eval mode, and is neither trained nor part of its state.

    Args:
        student: the model to train.
        teacher: the model to learn from, or None for distillers that need none.
        distillers: a distiller's name, an instance, or a list of them. Names are looked up among the installed
            plugins; options of a single name are given as keyword arguments, in a list as
            `{"name": ..., "alpha": ...}`.
        num_classes: K.
        image_size: side of the images in pixels, or (height, width).
        train_size: samples in the training set, for distillers with a memory bank.
        train_labels: class index of every training sample `[N]`, for distillers that need it.
        task_weight: factor of the task loss; None: the distiller's own. To be said for several names.
        label_smoothing: of the task loss.
        student_adapter: feature adapter of the student; None: found by the model's class.
        teacher_adapter: likewise of the teacher.
        teacher_images: turns images as the student sees them into the teacher's; None: they are the same.
        teacher_image_size: (height, width) of what it makes.
        in_chans: channels of the images.
        seed: of what the distillers draw while they are built.
        options: of a distiller given by name.

    Raises:
        UserError: a name or an option is wrong, or a model lacks what a distiller needs.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        distillers: DistillerLike | Sequence[DistillerLike],
        *,
        num_classes: int,
        image_size: int | tuple[int, int],
        train_size: int = 0,
        train_labels: Tensor | None = None,
        task_weight: float | None = None,
        label_smoothing: float = 0.0,
        student_adapter: FeatureAdapter | None = None,
        teacher_adapter: FeatureAdapter | None = None,
        teacher_images: Callable[[Tensor], Tensor] | None = None,
        teacher_image_size: tuple[int, int] | None = None,
        in_chans: int = 3,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        plugins = get_plugins()
        student_adapter = student_adapter or find_adapter(student, None, plugins, "student")
        self.student = student
        # kept out of the module tree: its parameters and state are not this module's
        self._outside: tuple[nn.Module, ...] = ()
        teacher_info = None
        if teacher is not None:
            teacher_adapter = teacher_adapter or find_adapter(teacher, None, plugins, "teacher")
            teacher_info = model_info(
                model_name(teacher), teacher, teacher_adapter, teacher_image_size or size, in_chans
            )
            self._outside = (teacher.requires_grad_(False).eval(),)
        self.teacher_info = teacher_info
        setup = Setup(
            student=model_info(model_name(student), student, student_adapter, size, in_chans),
            teacher=teacher_info,
            num_classes=num_classes,
            train_size=train_size,
            train_labels=train_labels,
            generator=torch.Generator().manual_seed(derive(seed, "distiller")),
        )
        built, own_weight = build_distillers(distillers, options, setup, plugins, task_weight, seed)
        self.distillers = nn.ModuleList(built.values()).to(next(student.parameters()).device)
        self._names = tuple(built)
        self._check_target = TargetCheck(num_classes)
        self._train_size = train_size
        self._warned: set[str] = set()  # distillers that read a progress that nobody gave
        self.num_classes = num_classes
        self.task_weight = own_weight
        self.label_smoothing = label_smoothing
        self._teacher_images = teacher_images
        self._teacher_shape = (in_chans, *(teacher_image_size or size))
        self._teacher_precision: torch.dtype | None = None
        self.teacher_memory_format = torch.preserve_format
        needs = [cast("Distiller", distiller).requires for distiller in self.distillers]
        self.requires = reduce(Requires.union, needs, Requires(teacher=False))
        self._extract_student: _Extract = Extractor(
            student, student_adapter, self.requires.student_stages, self.requires.student_embedding
        )
        self._extract_teacher: _Extract | None = None
        self._teacher_maps: _Extract | None = None  # all that is read, where that is less
        if teacher is not None and self.requires.teacher:
            assert teacher_adapter is not None
            extractor = Extractor(
                teacher, teacher_adapter, self.requires.teacher_stages, self.requires.teacher_embedding
            )
            self._extract_teacher = extractor
            if extractor.has_maps and not self.requires.teacher_logits:
                self._teacher_maps = extractor.maps

    @property
    def names(self) -> tuple[str, ...]:
        """The distillers' names, each different; several distillers' terms are called `name.term`."""
        return self._names

    @property
    def teacher(self) -> nn.Module | None:
        """The teacher, or None."""
        return self._outside[0] if self._outside else None

    def compile_models(self, *, student: bool = True, teacher: bool = True) -> None:
        """Compile the forward passes of student and teacher with `torch.compile`; names in the state stay."""
        if student:
            self._extract_student = torch.compile(self._extract_student)
        if teacher and self._extract_teacher is not None:
            self._extract_teacher = torch.compile(self._extract_teacher)
            if self._teacher_maps is not None:
                self._teacher_maps = torch.compile(self._teacher_maps)

    def fold_teacher(self) -> int:
        """Fold the teacher's batch norms into its convolutions, in place; its outputs stay, but for rounding.

        Returns:
            How many norms there are less.
        """
        extract = self._extract_teacher
        if extract is None or self.teacher is None:
            return 0
        device = next(self.teacher.parameters()).device
        images = torch.randn(1, *self._teacher_shape, generator=torch.Generator().manual_seed(0)).to(device)
        return fold_batch_norm(self.teacher, lambda: list(_tensors(extract(images))))

    def set_teacher(self, *, precision: torch.dtype | None, channels_last: bool) -> None:
        """How the teacher computes: its autocast precision (None: the surrounding one) and its memory order."""
        self._teacher_precision = precision
        self.teacher_memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def teacher_autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """The precision in which the teacher computes, where it has one of its own."""
        dtype = self._teacher_precision
        if dtype is None:
            return contextlib.nullcontext()
        half = dtype != torch.float32
        return torch.autocast(device.type, dtype=dtype if half else None, enabled=half)

    def wrap_teacher(self, wrap: Callable[[_Extract], _Extract]) -> None:
        """Call the teacher's forward pass through what `wrap` makes of it."""
        if self._extract_teacher is not None:
            self._extract_teacher, self._teacher_maps = wrap(self._extract_teacher), None

    def forward(
        self,
        images: Tensor,
        target: Tensor | None = None,
        *,
        index: Tensor | None = None,
        progress: Progress | None = None,
        teacher_output: ModelOutput | None = None,
    ) -> DistillationOutput:
        """One step's losses.

        Args:
            images: `[B, C, H, W]`, or `[B, V, C, H, W]` for distillers that see V views.
            target: class indices `[B]`, probabilities `[B, K]`, or None where no loss reads them.
            index: positions in the training set `[B]`, for distillers that need them.
            progress: how far the run is, for losses that change; None: its beginning, with a warning where a
                distiller reads it.
            teacher_output: the teacher's output for these images where it is known already.

        Raises:
            ValueError: something that a distiller needs is missing, or the target is no class indices and no
                probabilities.
            RunFailed: a distiller gave something else than named scalars.
        """
        target = self._check(images, target, index)
        if progress is not None and not isinstance(progress, Progress):
            raise ValueError(f"progress is a kdcore.Progress, and not {type(progress).__name__}")
        teacher = teacher_output
        if teacher is None and self._extract_teacher is not None:
            # before the student, whose activations are kept: what the teacher needs in passing is free again by then
            teacher = self.forward_teacher(images)
        student = self._forward_views(self._extract_student, images)
        logits = self._check_outputs(student, teacher, len(images))
        task_loss = self._task_loss(student, target)
        batch = Batch(images if images.dim() == 4 else images[:, 0], target, index)
        terms = self._terms(student, teacher, batch, progress)
        loss = task_loss
        for term in terms.values():
            loss = loss + term
        return DistillationOutput(loss, task_loss, terms, logits, None if teacher is None else teacher.logits)

    def _check(self, images: Tensor, target: Tensor | None, index: Tensor | None) -> Tensor | None:
        """The target, as it is read."""
        if images.dim() not in (4, 5):
            raise ValueError(
                f"images has the shape {list(images.shape)}; allowed: [B, C, H, W], or [B, V, C, H, W] for V views"
            )
        views = images.shape[1] if images.dim() == 5 else 1
        wanted = self.requires.views
        if views != wanted:
            who = self.who(lambda requires: requires.views == wanted)
            raise ValueError(f"{who} {wanted} views of each image, images has {views}")
        if index is None and self.requires.sample_index:
            who = self.who(lambda requires: requires.sample_index)
            raise ValueError(f"index is missing: {who} each sample's position in the training set")
        if index is not None and self.requires.sample_index:
            check_index(index, len(images), self._train_size)
        readers = [] if self.task_weight == 0 else ["the task loss needs"]
        if self.requires.target:
            readers.append(self.who(lambda requires: requires.target))
        if target is None or not readers:
            if readers:
                raise ValueError(f"target is missing: {' and '.join(readers)} the ground truth")
            return target
        return self._check_target(target, len(images))

    def who(self, needs: Callable[[Requires], bool]) -> str:
        """The distillers of which this holds, as the beginning of a sentence: "distiller 'crd' needs"."""
        found = [
            f"'{name}'"
            for name, distiller in zip(self._names, self.distillers, strict=True)
            if needs(cast("Distiller", distiller).requires)
        ]
        one = len(found) == 1
        return f"distiller{'' if one else 's'} {' and '.join(found)} need{'s' if one else ''}"

    def _check_outputs(self, student: ModelOutput, teacher: ModelOutput | None, batch: int) -> Tensor:
        """The student's logits, after a look at the shapes."""
        logits = _logits(student)
        if logits.dim() != 2 or logits.shape[1] != self.num_classes:
            raise ValueError(
                f"the student gives logits of the shape {list(logits.shape)}, and num_classes is "
                f"{self.num_classes}: the shape has to be [{batch}, {self.num_classes}]"
            )
        sizes = set() if teacher is None else {len(tensor) for tensor in _tensors(teacher)}
        if sizes - {batch}:
            raise ValueError(
                f"the teacher's output is for {max(sizes - {batch})} images, and the batch has {batch}"
            )
        return logits

    def trust_targets(self) -> None:
        """Look at the targets' values no more: who calls has made sure that they are right."""
        self._check_target.values = False

    def forward_teacher(self, images: Tensor, whole: bool = False) -> ModelOutput:
        """What the distillers read of the teacher, for images as the student sees them.

        Args:
            images: `[B, C, H, W]`, or `[B, V, C, H, W]` of V views.
            whole: with the logits even where nobody reads them.

        Raises:
            ValueError: there is no teacher, or no distiller reads it.
        """
        extract = self._extract_teacher if whole or self._teacher_maps is None else self._teacher_maps
        if extract is None:
            raise ValueError("there is no teacher, or no distiller reads it")
        with torch.no_grad(), self.teacher_autocast(images.device):
            if self._teacher_images is not None:
                flat = self._teacher_images(images.flatten(0, -4))
                images = flat.reshape(*images.shape[:-3], *flat.shape[-3:])
            if images.dim() == 4:
                images = images.to(memory_format=self.teacher_memory_format)
            return self._forward_views(extract, images)

    @staticmethod
    def _forward_views(extract: _Extract, images: Tensor) -> ModelOutput:
        if images.dim() == 4:
            return _float_logits(extract(images))
        views = tuple(_float_logits(extract(images[:, view])) for view in range(images.shape[1]))
        first = views[0]
        return ModelOutput(first.logits, first.features, first.embedding, views)

    def _task_loss(self, student: ModelOutput, target: Tensor | None) -> Tensor:
        if target is None or self.task_weight == 0:
            # keeps the classifier in the graph: every parameter has a gradient, which DDP waits for
            return 0.0 * _logits(student).float().mean()
        outputs = student.views or (student,)
        losses = [
            F.cross_entropy(_logits(out), target, label_smoothing=self.label_smoothing) for out in outputs
        ]
        return self.task_weight * torch.stack(losses).mean()

    def _terms(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, progress: Progress | None
    ) -> dict[str, Tensor]:
        several = len(self.distillers) > 1
        gathered: tuple[ModelOutput, ModelOutput | None, Batch] | None = None
        terms: dict[str, Tensor] = {}
        for name, distiller in zip(self._names, self.distillers, strict=True):
            seen = (student, teacher, batch)
            if distiller.requires.whole_batch and world_size() > 1:  # type: ignore[union-attr]
                gathered = gathered or (
                    gather_output(student),
                    gather_output(teacher) if teacher is not None else None,
                    gather_batch(batch),
                )
                seen = gathered
            # a compiled pass would break where attributes are watched
            far = progress or (_START if torch.compiler.is_compiling() else UnsaidProgress())
            given = checked_terms(name, distiller(*seen, far))
            if isinstance(far, UnsaidProgress) and far.read and name not in self._warned:
                self._warned.add(name)
                warn_unsaid(name, stacklevel=6)  # whoever called this module
            for term, value in given.items():
                terms[f"{name}.{term}" if several else term] = value
        return terms

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Distillation:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module in self._outside:
            module._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _tensors(output: ModelOutput) -> Iterator[Tensor]:
    """Everything in it."""
    if output.logits is not None:
        yield output.logits
    for feature in output.features.values():
        yield from (feature.map,) if feature.prefix is None else (feature.map, feature.prefix)
    if output.embedding is not None:
        yield output.embedding


def _logits(output: ModelOutput) -> Tensor:
    """The logits of a pass through the whole model, which always has them."""
    assert output.logits is not None
    return output.logits


def model_name(model: nn.Module) -> str:
    """The architecture's name where timm gave it one, else the class's."""
    config = getattr(model, "pretrained_cfg", None) or {}
    return config.get("architecture") or type(model).__name__


def _float_logits(output: ModelOutput) -> ModelOutput:
    """Losses are computed from float32 logits, whatever precision the model ran in."""
    if output.logits is not None and output.logits.dtype in (torch.float16, torch.bfloat16):
        return ModelOutput(output.logits.float(), output.features, output.embedding, output.views)
    return output
