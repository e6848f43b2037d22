"""What a distiller may know of a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kdcore.protocols.stage import STAGES, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from kdcore.protocols.values import ModelOutput


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
        self.measure((ref,))
        if ref not in self._probed:
            from kdcore.errors import Problem, UserError, listed

            known = listed(str(number) for number in STAGES if number in self._probed)
            raise UserError(Problem(self.name, f"its adapter has no stage {ref}", allowed=f"stages {known}"))
        return self._probed[ref]

    def measure(self, refs: Sequence[Stage]) -> None:
        """Measure the shapes of several stages and modules in one forward pass, before `stage` is asked for each.

        Raises:
            UserError: the model has no such module.
        """
        missing = [ref for ref in dict.fromkeys(refs) if ref not in self._probed]
        paths = [ref for ref in missing if ref not in STAGES]
        wanted = [*(STAGES if len(paths) < len(missing) else ()), *paths]
        if wanted:
            self._probed.update({info.stage: info for info in self._probe(wanted)})

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

        `tail(feature).logits` are `[B, K]`, `tail(feature, embedding=True)` gives the embedding too, and
        `tail(feature, stages=(4,))` the maps of later stages in `features`. The gradient
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
