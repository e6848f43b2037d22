"""What a distiller may know of a model: measured in a forward pass when it is first read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from kdcore.errors import KdError, Problem, UserError
from kdcore.features.extractor import Extractor, find_module
from kdcore.features.heads import set_distilled_training
from kdcore.features.probing import ProbedStages, Result, probe
from kdcore.features.timm import stage_info
from kdcore.plugins.calling import MISTAKE
from kdcore.plugins.importing import cause
from kdcore.plugins.owner import owned
from kdcore.protocols import FeatureAdapter, GivesTail, ModelInfo, Stage, StageInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def model_info(
    name: str,
    model: nn.Module,
    adapter: FeatureAdapter,
    image_size: tuple[int, int],
    in_chans: int,
    *,
    classifier: bool = True,
) -> ModelInfo:
    """The model at this input size; each shape is measured on the meta device when it is first read.

    `classifier` is False for an encoder.
    """
    passes = _Passes(name, model, adapter, image_size, in_chans)
    return ModelInfo(
        name,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        classifier=_classifier(model) if classifier else None,
        has_logits=classifier,
        probe=passes.stages,
        probe_embedding=passes.embedding_size,
        find_module=lambda path: _named(name, lambda: find_module(model, path)),
        probe_distillation=passes.gives_distillation_logits,
        make_tail=passes.tail,
        forward=adapter.forward,
    )


@dataclass(frozen=True)
class _Passes:
    """Forward passes of a model on the meta device; a problem has the model's name."""

    name: str
    model: nn.Module
    adapter: FeatureAdapter
    image_size: tuple[int, int]
    in_chans: int

    def stages(self, stages: Sequence[Stage]) -> tuple[StageInfo, ...]:
        wanted = list(stages)
        if any(isinstance(stage, int) for stage in stages):
            # the adapter says which stages there are; their shapes are measured in a forward pass
            infos = _named(self.name, lambda: _stages(self.adapter, self.model, self.image_size))
            served = {info.stage for info in infos}
            wanted = [stage for stage in stages if isinstance(stage, str) or stage in served]
            if isinstance(infos, ProbedStages) and served.issuperset(wanted):
                return infos

        def look(twin: nn.Module, images: Tensor) -> tuple[StageInfo, ...]:
            features = Extractor(twin, self.adapter, wanted, checked=True)(images).features
            return tuple(stage_info(stage, features[stage]) for stage in wanted)

        return self._measured(look) if wanted else ()

    def embedding_size(self) -> int:
        def look(twin: nn.Module, images: Tensor) -> int:
            embedding = Extractor(twin, self.adapter, (), True, checked=True)(images).embedding
            return cast("Tensor", embedding).shape[1]

        return self._measured(look)

    def gives_distillation_logits(self) -> bool:
        def look(twin: nn.Module, images: Tensor) -> bool:
            set_distilled_training(twin.train())  # in evaluation mode both classifiers are one
            return Extractor(twin, self.adapter)(images).distillation_logits is not None

        return _named(self.name, lambda: probe(self.model, self.image_size, self.in_chans, look))

    def tail(self, stage: Stage) -> nn.Module:
        adapter = self.adapter
        if not isinstance(stage, int):
            raise UserError(Problem(self.name, f"a tail begins at a stage 1, 2, 3 or 4, not at '{stage}'"))
        if not isinstance(adapter, GivesTail):
            message = f"its adapter {type(adapter).__name__} cannot run the layers after stage {stage} alone"
            hint = "use a model of timm's, or another distiller"
            raise UserError(Problem(self.name, message, hint=hint))
        return _named(self.name, lambda: adapter.tail(self.model, stage))

    def _measured(self, look: Callable[[nn.Module, Tensor], Result]) -> Result:
        """What `look` finds in a pass.

        Raises:
            UserError: the model does not take the images, or its adapter fails.
        """

        def measured() -> Result:
            try:
                return probe(self.model, self.image_size, self.in_chans, look)
            except UserError as error:
                fault = _fault_of_adapter(error, self.adapter, self.model, self.image_size, self.in_chans)
                if fault is None:
                    raise
                raise UserError(fault) from error.__cause__

        return _named(self.name, measured)


def _stages(adapter: FeatureAdapter, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
    found: object = adapter.stages(model, image_size)
    if isinstance(found, tuple | list) and all(isinstance(info, StageInfo) for info in found):
        return tuple(found) if isinstance(found, list) else found
    message = f"{owned('adapter', adapter)}: stages() returned {type(found).__name__}; it must return StageInfo records"
    raise UserError(Problem("", message))


def _fault_of_adapter(
    error: UserError,
    adapter: FeatureAdapter,
    model: nn.Module,
    image_size: tuple[int, int],
    in_chans: int,
) -> Problem | None:
    """What is wrong if a pass with a plugin's adapter raised an exception, and the model alone takes the images."""
    raised = error.__cause__
    own = type(adapter).__module__.partition(".")[0] == "kdcore"
    if raised is None or isinstance(raised, KdError) or own:
        return None
    try:
        probe(model, image_size, in_chans, lambda twin, images: twin(images))
    except UserError:
        return None  # it is the model
    height, width = image_size
    who = owned(f"adapter {type(adapter).__name__}", adapter)
    what = f"{type(model).__name__} with images of {height}x{width} pixels and {in_chans} channels"
    return Problem("", f"{who} fails for {what}: {cause(raised)}", hint=MISTAKE)


def _named(name: str, call: Callable[[], Result]) -> Result:
    try:
        return call()
    except UserError as error:
        raise UserError(
            replace(problem, where=problem.where or name) for problem in error.problems
        ) from error


def _classifier(model: nn.Module) -> nn.Module | None:
    get = getattr(model, "get_classifier", None)
    classifier = get() if callable(get) else None
    if isinstance(classifier, tuple | list) and classifier:
        classifier = classifier[0]
    return classifier if isinstance(classifier, nn.Module) else None
