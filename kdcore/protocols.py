"""`Distiller`, `FeatureAdapter`, and the values that they and the engine exchange.

Importing this module needs no torch: a plugin may annotate with it anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch
    from torch import Tensor, nn


Stage = int | str
"""Where features are taken: 1..4 from shallow to deep, or text.

`layer3.1.conv2` is the output of that module, `layer3.1.act2:in` is the input of a module, and
`attention:blocks.11.attn` are the weights of an attention, `[B, heads, N, N]`, as the map `[B, C, H, W]`.
"""

STAGES: tuple[int, ...] = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Requires:
    """What the engine gives a distiller in addition to the logits.

    Attributes:
        teacher: it reads the teacher; False for methods without a teacher.
        student_stages: stages of the student whose feature maps it reads.
        teacher_stages: stages of the teacher whose feature maps it reads; with `several_teachers` also a mapping from a
            teacher's name to its stages.
        student_embedding: it reads the student's embedding.
        teacher_embedding: it reads the teacher's embedding.
        sample_index: it needs each sample's position in the training set (a memory bank).
        whole_batch: it relates samples to each other, so in a run of several processes it gets all of them.
        views: the number of augmented views of each sample that it gets; or a recipe for each: `"weak"` (the run's own
            augmentation), `"strong"`, or changes of `data.augment` such as `{"hflip": 0.0}`.
        partner: `"class"`: it reads the student's output for another sample of the same class, `student.partner`.
        target: it reads the ground truth, so images without labels are refused.
        teacher_logits: it reads the teacher's logits. If no distiller of a run reads them or the embedding, the teacher
            stops at the deepest stage that is read, and its logits are None.
        distillation_logits: it reads the logits of the student's second classifier; a student without one is refused.
        teacher_learns: it needs a teacher that learns, and gets its outputs with a gradient.
        several_teachers: it reads all teachers of the run: its `forward` gets a dict of their outputs by name.
        student_pass: it calls `student.student_pass` for another pass of the student.
        student_momentum: decay of a moving average of the student, for `student.student_pass(images, ema=True)`.
        student_logits: it reads the student's logits, so a student without a classifier is refused; None: yes, unless
            it reads a teacher without its logits.
    """

    teacher: bool = True
    student_stages: tuple[Stage, ...] = ()
    teacher_stages: tuple[Stage, ...] | Mapping[str, tuple[Stage, ...]] = ()
    student_embedding: bool = False
    teacher_embedding: bool = False
    sample_index: bool = False
    whole_batch: bool = False
    views: int | tuple[str | Mapping[str, Any], ...] = 1
    partner: Literal["class"] | None = None
    target: bool = False
    teacher_logits: bool = True
    distillation_logits: bool = False
    several_teachers: bool = False
    student_pass: bool = False
    student_momentum: float | None = None
    student_logits: bool | None = None
    teacher_learns: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "student_stages", _stages("student_stages", self.student_stages))
        given = self.teacher_stages
        if isinstance(given, Mapping):
            if not self.several_teachers:
                raise ValueError("teacher_stages by teacher needs several_teachers=True")
            stages: Any = {name: _stages("teacher_stages", its) for name, its in given.items()}
        else:
            stages = _stages("teacher_stages", given)
        object.__setattr__(self, "teacher_stages", stages)
        if not isinstance(self.views, int):
            object.__setattr__(self, "views", tuple(self.views))
        _check_views(self.views)
        if self.student_momentum is not None:
            if not 0 <= self.student_momentum < 1:
                raise ValueError(f"student_momentum is {self.student_momentum}; it must be from 0 to below 1")
            object.__setattr__(self, "student_pass", True)
        if self.partner not in (None, "class"):
            raise ValueError(f"partner is {self.partner!r}; it must be 'class' or None")
        if not self.teacher and (self.teacher_stages or self.teacher_embedding):
            raise ValueError("teacher is False, but teacher features are requested")

    @property
    def num_views(self) -> int:
        """The number of views, whichever way they are given."""
        return self.views if isinstance(self.views, int) else len(self.views)

    @property
    def reads_student_logits(self) -> bool:
        """Whether it reads the student's logits: `student_logits`, or what None stands for."""
        if self.student_logits is None:
            return self.teacher_logits or not self.teacher
        return self.student_logits

    def of_member(self, name: str | None) -> Requires:
        """The same, with the stages of one teacher; None: without those that are given by teacher."""
        if not isinstance(self.teacher_stages, Mapping):
            return self
        return replace(self, teacher_stages=() if name is None else self.teacher_stages.get(name, ()))

    def union(self, other: Requires) -> Requires:
        """The requirements of both together; stages by teacher are chosen first, see `of_member`.

        Raises:
            ValueError: the stages of one of them are given by teacher, or they ask for views by different recipes.
        """
        mine, theirs = self.teacher_stages, other.teacher_stages
        if isinstance(mine, Mapping) or isinstance(theirs, Mapping):
            raise ValueError("teacher_stages are given by teacher: call of_member first")
        return Requires(
            teacher=self.teacher or other.teacher,
            student_stages=tuple(dict.fromkeys(self.student_stages + other.student_stages)),
            teacher_stages=tuple(dict.fromkeys(mine + theirs)),
            student_embedding=self.student_embedding or other.student_embedding,
            teacher_embedding=self.teacher_embedding or other.teacher_embedding,
            sample_index=self.sample_index or other.sample_index,
            whole_batch=self.whole_batch or other.whole_batch,
            views=_views_of_both(self.views, other.views),
            partner=self.partner or other.partner,
            student_pass=self.student_pass or other.student_pass,
            student_momentum=_momentum_of_both(self.student_momentum, other.student_momentum),
            target=self.target or other.target,
            teacher_logits=(self.teacher and self.teacher_logits) or (other.teacher and other.teacher_logits),
            distillation_logits=self.distillation_logits or other.distillation_logits,
            several_teachers=self.several_teachers or other.several_teachers,
            student_logits=self.reads_student_logits or other.reads_student_logits,
            teacher_learns=self.teacher_learns or other.teacher_learns,
        )


Views = int | tuple[str | Mapping[str, Any], ...]
RECIPES: tuple[str, ...] = ("weak", "strong")
"""Names of recipes in `Requires.views`."""


def _check_views(views: Views) -> None:
    if isinstance(views, int):
        if views < 1:
            raise ValueError(f"views is {views}; it must be 1 or more")
        return
    if len(views) < 2:
        raise ValueError(f"views is {views}; recipes are for two or more views")
    for view in views:
        if not isinstance(view, Mapping) and view not in RECIPES:
            raise ValueError(
                f"views has {view!r}; a recipe is 'weak', 'strong' or a dict of changes of data.augment"
            )


def _momentum_of_both(one: float | None, other: float | None) -> float | None:
    if one is not None and other is not None and one != other:
        raise ValueError(f"the averages of the student with the decays {one} and {other} cannot both be kept")
    return other if one is None else one


def _views_of_both(one: Views, other: Views) -> Views:
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    if isinstance(one, int) or isinstance(other, int):
        recipes, number = (other, one) if isinstance(one, int) else (one, other)
        if not isinstance(recipes, int) and isinstance(number, int) and number <= len(recipes):
            return recipes
    elif one == other:
        return one
    raise ValueError(f"the views {one} and the views {other} cannot both be given")


def _stages(name: str, given: Iterable[Stage]) -> tuple[Stage, ...]:
    stages = tuple(given)
    for stage in stages:
        if isinstance(stage, bool) or not (stage in STAGES or (isinstance(stage, str) and stage)):
            raise ValueError(f"{name} has {stage!r}; a stage is 1, 2, 3, 4 or a module path")
    return stages


@dataclass(frozen=True, slots=True)
class StageInfo:
    """The shape of one stage's feature map at the run's input size: `map [B, channels, *grid]`."""

    stage: Stage
    channels: int
    grid: tuple[int, int]
    prefix_tokens: int = 0


class ModelInfo:
    """What a distiller may know of a model when it builds its heads, all at the run's input size.

    Attributes:
        name: the model's name in the spec.
        num_parameters: how many parameters it has.
        classifier: its classifier module, or None. Do not store it as a submodule of a distiller, because it would be
            trained.
        has_logits: whether it gives logits; an encoder does not.
        tails: the rests of the model that `tail` has returned, by stage.
        learns: for a teacher: whether it is trained together with the student.
    """

    learns: bool = False

    def __init__(
        self,
        name: str,
        *,
        num_parameters: int,
        classifier: nn.Module | None,
        has_logits: bool = True,
        probe: Callable[[Sequence[Stage]], tuple[StageInfo, ...]],
        probe_embedding: Callable[[], int],
        find_module: Callable[[str], nn.Module] | None = None,
        probe_distillation: Callable[[], bool] | None = None,
        make_tail: Callable[[Stage], nn.Module] | None = None,
        forward: Callable[[nn.Module, Tensor, Sequence[Stage], bool], ModelOutput] | None = None,
    ) -> None:
        self.name = name
        self.num_parameters = num_parameters
        self.classifier = classifier
        self.has_logits = has_logits
        self._probe = probe
        self._probe_embedding = probe_embedding
        self._find_module = find_module
        self._probe_distillation = probe_distillation
        self._make_tail = make_tail
        self._forward = forward
        self.tails: dict[Stage, nn.Module] = {}
        self._probed: dict[Stage, StageInfo] = {}

    @cached_property
    def stages(self) -> tuple[StageInfo, ...]:
        """Stages 1..4, from shallow to deep.

        Raises:
            UserError: the model gives no features.
        """
        return tuple(self.stage(number) for number in STAGES)

    def stage(self, ref: Stage) -> StageInfo:
        """The stage with this number or module path; its shape is measured when it is first read.

        Raises:
            UserError: the model has no such stage or module.
        """
        if ref not in self._probed:
            wanted = STAGES if ref in STAGES else (ref,)
            self._probed.update({info.stage: info for info in self._probe(wanted)})
        if ref not in self._probed:
            from kdcore.errors import Problem, UserError, listed

            known = listed(str(number) for number in STAGES if number in self._probed)
            raise UserError(Problem(self.name, f"its adapter has no stage {ref}", allowed=f"stages {known}"))
        return self._probed[ref]

    @cached_property
    def embedding_dim(self) -> int:
        """D of the embedding `[B, D]`.

        Raises:
            UserError: the model gives no embedding.
        """
        return self._probe_embedding()

    @cached_property
    def has_distillation_logits(self) -> bool:
        """Whether it has a second classifier for the distillation, as the distilled DeiT has."""
        return self._probe_distillation is not None and self._probe_distillation()

    def module(self, path: str) -> nn.Module:
        """The module at a path of the model, such as `layer4` or `head.norm`.

        Its parameters are the live ones: the student's are trained, and the teacher's are frozen. Do not store it as a
        submodule of a distiller, because it would be trained; keep it in a list or a closure.

        Raises:
            UserError: there is none; the message names the nearest path.
        """
        if self._find_module is None:
            raise ValueError(f"{self!r} was made without the model, so it has no modules")
        return self._find_module(path)

    def tail(self, stage: Stage) -> nn.Module:
        """The rest of the model from a stage (1..4) on: a `FeatureMap` or `[B, C, H, W]` to a `ModelOutput`.

        `tail(feature).logits` are `[B, K]`, and `tail(feature, embedding=True)` gives the embedding too. The gradient
        reaches the feature map. The teacher's tail stays in evaluation mode, and its parameters are frozen; the
        student's has the live parameters. Do not store it as a submodule of a distiller; keep it in a tuple.

        Raises:
            UserError: the model's adapter cannot run its layers from this stage on.
        """
        if self._make_tail is None:
            raise ValueError(f"{self!r} was made without the model, so it has no layers")
        if stage not in self.tails:
            self.tails[stage] = self._make_tail(stage)
        return self.tails[stage]

    def extract(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage] = (), embedding: bool = False
    ) -> ModelOutput:
        """One pass of `model`, this one or a copy of it: logits, maps of `stages` (1..4), the embedding if requested.

        For the module that a distiller's method `student` returns.
        """
        if self._forward is None:
            raise ValueError(f"{self!r} was made without the model, so it has no layers")
        return self._forward(model, images, stages, embedding)

    def __deepcopy__(self, memo: dict[int, object]) -> ModelInfo:
        return self  # it describes the model, and does not hold it

    def __repr__(self) -> str:
        return f"ModelInfo({self.name!r}, {self.num_parameters:,} parameters)"


@dataclass(frozen=True)
class Setup:
    """What a distiller is built from.

    Attributes:
        student: the student.
        teacher: the teacher that it reads; None if the run has none, or if it has several and the spec names none.
        num_classes: K; 0 if neither the data nor a model has classes.
        train_size: samples in the training set, N.
        train_labels: the class index of every training sample `[N]`, or None if they are not known.
        generator: for random numbers while a distiller is built.
        teachers: all teachers by name; the only one is called `teacher` unless the spec names it.
    """

    student: ModelInfo
    teacher: ModelInfo | None
    num_classes: int
    train_size: int
    train_labels: Tensor | None
    generator: torch.Generator
    teachers: Mapping[str, ModelInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.teachers and self.teacher is not None:
            object.__setattr__(self, "teachers", {"teacher": self.teacher})


@dataclass(frozen=True)
class FeatureMap:
    """One stage's features: `map [B, C, H, W]`, and `prefix [B, P, C]` for class and register tokens, or None."""

    map: Tensor
    prefix: Tensor | None = None


@dataclass(frozen=True)
class ModelOutput:
    """The output of one forward pass of a model.

    Attributes:
        logits: `[B, K]`, or None if no distiller reads them.
        features: a feature map for each stage that was requested.
        embedding: `[B, D]`, or None if it was not requested.
        views: with `Requires.views` above 1, the output for each view, this one first; otherwise empty.
        distillation_logits: `[B, K]` of a student's second classifier in training, if a distiller requires it. The
            `logits` are then those of the first classifier; in evaluation they are the mean of both.
        partner: the student's output for another sample of the class, without gradient, if a distiller requires it.
        student_pass: of the student, if a distiller requires it: `student_pass(images, mask=None, *, mask_token=None,
            ema=False)` gives the output of another pass for `[B, C, H, W]`. `mask`, bool `[B, N]`, replaces patches of
            a transformer by `mask_token` `[D]` or zeros. `ema=True`: of the moving average, without gradient.
    """

    logits: Tensor | None
    features: dict[Stage, FeatureMap] = field(default_factory=dict)
    embedding: Tensor | None = None
    views: tuple[ModelOutput, ...] = ()
    distillation_logits: Tensor | None = None
    partner: ModelOutput | None = None
    student_pass: Callable[..., ModelOutput] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Batch:
    """One step's samples.

    Attributes:
        images: `[B, C, H, W]`, normalised for the student.
        target: class indices `[B]`, probabilities `[B, K]` (mixup, cutmix), or None if there are no labels.
        index: positions in the training set `[B]`, or None if they are not known (streams).
    """

    images: Tensor
    target: Tensor | None
    index: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is: `epoch` counts from 0.0 and grows within the epoch, `step` counts optimizer steps from 0."""

    epoch: float
    step: int
    total_steps: int
    total_epochs: int


@runtime_checkable
class Distiller(Protocol):
    """One algorithm: turns student and teacher outputs into loss terms. In practice an `nn.Module`.

    Its constructor is called as `(options, setup)`. Its parameters are trained with the student's, and its
    buffers are checkpointed. Subclassing is not required.
    """

    requires: Requires

    def forward(
        self, student: ModelOutput, teacher: Any, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return named scalars, already weighted; the step's loss is the task loss plus their sum.

        `teacher` is None in a run without a teacher, which is only possible if `requires.teacher` is False. With
        `requires.several_teachers` it is a dict of all teachers' outputs by name.
        """
        ...


@runtime_checkable
class PreparesFromTeacher(Protocol):
    """A distiller that looks at the teacher's outputs for the whole training set before the first step.

    For class means, statistics of features, or anything else that it then keeps in buffers.
    """

    def prepare(self, outputs: Iterable[tuple[Any, Batch]]) -> None:
        """Called once per run, without gradients, before step 0; a resumed run restores the buffers instead.

        Args:
            outputs: what the distiller requires of the teacher (of all teachers by name, with
                `requires.several_teachers`), and the samples, in the order of their positions; each
                sample comes once, as it is augmented in epoch 0. Every process gets all samples (`Batch.images` are
                those of this process).
        """
        ...


@runtime_checkable
class ChangesStudent(Protocol):
    """A distiller with a head that belongs to the student: without it, the student gives other predictions."""

    def student(self, model: nn.Module) -> nn.Module:
        """What is evaluated, saved and exported instead of `model`: `[B, C, H, W]` to logits `[B, K]`.

        Args:
            model: the student, or a copy of it, such as its average over the steps.

        Returns:
            A module whose submodules are `model`, the head, and whatever else it needs; it must not copy them.
        """
        ...


@runtime_checkable
class FeatureAdapter(Protocol):
    """Knows one model family: its stages, and how to get everything in one forward pass.

    An adapter holds no state of a model: one instance may serve several. Its class is called without arguments.
    `PreparesModel`, `GivesMaps` and `GivesTail` are optional: an adapter that has their method is used with it.
    """

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1..4 at this input size `(height, width)`."""
        ...

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """One pass: logits equal to `model(images)`, the maps of `stages` (1..4), the embedding if requested."""
        ...


@runtime_checkable
class PreparesModel(Protocol):
    """An adapter that computes what depends on the model before the first pass."""

    def prepare(self, model: nn.Module) -> None:
        """Called once for each model, before the first pass and outside of `torch.compile`."""
        ...


@runtime_checkable
class GivesTail(Protocol):
    """An adapter that can run the layers after a stage alone, for `ModelInfo.tail`."""

    def tail(self, model: nn.Module, stage: int) -> nn.Module:
        """A module that is called as `(feature, embedding=False)` and returns a `ModelOutput`.

        With the map of `stage` (1..4), its logits are those of a whole pass. It shares the model's modules. If the
        model is frozen, it stays in evaluation mode.
        """
        ...


@runtime_checkable
class GivesMaps(Protocol):
    """An adapter that can stop at the deepest stage that is read, for teachers whose logits are not read."""

    def maps(self, model: nn.Module, images: Tensor, stages: Sequence[Stage]) -> dict[Stage, FeatureMap]:
        """The same maps of `stages` (1..4) as `forward` gives; what comes after the deepest of them does not run."""
        ...
