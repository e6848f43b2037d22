"""The generic adapter: serves every classifier of timm."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from kdcore.errors import Problem, UserError
from kdcore.features.heads import split_logits
from kdcore.features.probing import ProbedStages, probe
from kdcore.features.stages import stage_indices
from kdcore.features.tail import Tail
from kdcore.protocols import STAGES, FeatureMap, ModelOutput, Stage, StageInfo

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class _Plan:
    """The choices for a model, made once."""

    indices: tuple[int, int, int, int]  # the intermediate maps that are stages 1..4
    prefix: bool  # the class returns class and register tokens


_plans: WeakKeyDictionary[nn.Module, dict[type, _Plan]] = WeakKeyDictionary()


class TimmAdapter:
    """Logits, feature maps and embedding of any timm model in one pass.

    The backbone runs once (`forward_intermediates`), the head once (`forward_head`). Maps are taken before a
    final normalisation. The embedding is the input of the classifier, after dropout: the same tensor from which the
    logits were computed. With several classifiers (distilled DeiT) it is the input of the first; in distilled training
    the logits of both are given. If the classifier is not one layer or block that takes vectors, it is what timm calls
    `pre_logits`. A model that never has a classifier gives the mean of its last map, in place of the logits too.
    Stages: see `kdcore.features.stages.stage_indices`; a subclass may choose others in
    `indices` or `backbone`.
    """

    def indices(self, model: nn.Module) -> tuple[int, int, int, int]:
        """The intermediate maps, as `forward_intermediates` counts them, that are stages 1..4."""
        return stage_indices([info["reduction"] for info in _feature_info(model)])

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1..4 at this input size.

        Raises:
            UserError: the model cannot take images of this size.
        """

        def look(twin: nn.Module, images: Tensor) -> tuple[StageInfo, ...]:
            output = self.forward(twin, images, STAGES, embedding=False)
            return ProbedStages(stage_info(stage, output.features[stage]) for stage in STAGES)

        return probe(model, image_size, in_chans(model), look)

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """Logits bit-equal to `model(images)`, the maps of `stages` (1..4), the embedding if requested."""
        if not stages and not embedding:
            return _output(model, model(images))
        final, features = self.backbone(model, images, stages)
        if not embedding:
            return _output(model, _head(model, final), features)
        logits, vector = _head_and_embedding(model, final)
        return _output(model, logits, features, vector)

    def maps(self, model: nn.Module, images: Tensor, stages: Sequence[Stage]) -> dict[Stage, FeatureMap]:
        """The same maps of `stages` (1..4) as `forward` gives; what comes after the deepest of them does not run."""
        if type(self).backbone is not TimmAdapter.backbone:  # it takes maps from other places
            return self.backbone(model, images, stages)[1]
        return self._by_stage(model, images, stages, stop_early=True, intermediates_only=True)[1]

    def backbone(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage]
    ) -> tuple[Any, dict[Stage, FeatureMap]]:
        """The final features, in the layout that `forward_head` takes, and the maps of `stages`.

        A subclass may take a map from another place; it must not change the final features.
        """
        # some classes stop after the deepest map by default, and give what they have then as the final features
        return self._by_stage(model, images, stages, stop_early=False)

    def _by_stage(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], **how: bool
    ) -> tuple[Any, dict[Stage, FeatureMap]]:
        net = cast("Any", model)
        plan = self._plan(model)
        wanted = sorted({plan.indices[cast("int", stage) - 1] for stage in stages}) or [plan.indices[-1]]
        if plan.prefix:
            how["return_prefix_tokens"] = True
        found = net.forward_intermediates(images, indices=wanted, **how)
        final, maps = (None, found) if how.get("intermediates_only") else found
        by_index = dict(zip(wanted, maps, strict=True))
        features: dict[Stage, FeatureMap] = {}
        for stage in stages:
            one = by_index[plan.indices[cast("int", stage) - 1]]
            features[stage] = FeatureMap(*one) if isinstance(one, tuple) else FeatureMap(one)
        return final, features

    def tail(self, model: nn.Module, stage: int) -> nn.Module:
        """The rest of the model from a stage (1..4) on, with its classifier.

        Raises:
            UserError: the layers of this class cannot be run from a stage on.
        """
        own = type(self)
        if own.backbone is not TimmAdapter.backbone and own.last_module is TimmAdapter.last_module:
            raise UserError(
                Problem("", f"{own.__name__} does not name the module after which stage {stage} is taken")
            )
        prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
        try:
            later = {number: self.last_module(model, number) for number in range(stage + 1, 5)}
            return Tail(model, self.last_module(model, stage), _end, prefix, later)
        except ValueError as error:
            raise UserError(
                Problem("", f"there is no rest of the model from stage {stage} on: {error}")
            ) from error

    def last_module(self, model: nn.Module, stage: int) -> str:
        """The path of the module whose output is the map of a stage; for a subclass with its own `backbone`."""
        path: str = _feature_info(model)[self._plan(model).indices[stage - 1]].get("module", "")
        return path

    def prepare(self, model: nn.Module) -> None:
        """Choose the maps now, because a compiled forward pass cannot."""
        self._plan(model)

    def _plan(self, model: nn.Module) -> _Plan:
        plans = _plans.get(model)
        plan = None if plans is None else plans.get(type(self))
        if plan is None:
            plan = _Plan(self.indices(model), _gives_prefix(model))
            _plans.setdefault(model, {})[type(self)] = plan
        return plan


def _output(
    net: nn.Module,
    given: object,
    features: dict[Stage, FeatureMap] | None = None,
    embedding: Tensor | None = None,
) -> ModelOutput:
    logits, second = split_logits(given, net)
    return ModelOutput(logits, features or {}, embedding, distillation_logits=second)


def _end(net: nn.Module, final: Any, embedding: bool) -> ModelOutput:
    if not embedding:
        return _output(net, _head(net, final))
    logits, vector = _head_and_embedding(net, final)
    return _output(net, logits, None, vector)


def is_timm_model(model: nn.Module) -> bool:
    """Whether the model has the methods that the generic adapter calls, as timm's models have."""
    return all(hasattr(model, name) for name in ("forward_intermediates", "forward_head", "feature_info"))


def in_chans(model: nn.Module) -> int:
    """Channels of the images that a timm model was built for."""
    own = getattr(model, "in_chans", None)
    size = (getattr(model, "pretrained_cfg", None) or {}).get("input_size")
    return own if isinstance(own, int) else size[0] if size else 3


def stage_info(stage: Stage, feature: FeatureMap) -> StageInfo:
    """The shape of a feature map."""
    _, channels, height, width = feature.map.shape
    return StageInfo(
        stage, channels, (height, width), 0 if feature.prefix is None else feature.prefix.shape[1]
    )


class _Caught(TorchFunctionMode):
    """Keeps the tensor that is first used in one operation with `weight`.

    A forward pre-hook on the classifier would see the same tensor, but cannot be set in a compiled function.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight
        self.vector: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.vector is None:
            for value in (*args[1:], *(kwargs or {}).values()):
                if value is self.weight:
                    self.vector = args[0]
        return func(*args, **(kwargs or {}))


def _head(net: Any, final: Any) -> Tensor:
    try:
        return cast("Tensor", net.forward_head(final))
    except NotImplementedError:
        return _pooled(net, final)


def is_encoder_only(model: nn.Module) -> bool:
    """Whether this is one of timm's models that never have a classifier, such as `qwen3_vit_88m_enc`."""
    return is_timm_model(model) and not hasattr(model, "get_classifier")


def _pooled(net: Any, final: Tensor) -> Tensor:
    """The mean of the last map, in any layout, as an embedding `[B, D]`."""
    channels_last = final.dim() == 3 or final.shape[-1] == net.num_features
    return final.flatten(1, -2).mean(1) if channels_last else final.flatten(2).mean(2)


def _head_and_embedding(net: Any, final: Any) -> tuple[Tensor, Tensor]:
    if is_encoder_only(net):
        pooled = _pooled(net, final)
        return pooled, pooled
    if isinstance(net.get_classifier() if hasattr(net, "get_classifier") else None, nn.Identity):
        # an encoder: what it gives is the embedding, and the head runs once
        given = _head(net, final)
        if given.dim() == 2:
            return given, given
    weight = _classifier_weight(net)
    vector = None
    if weight is None:
        logits = _head(net, final)
    else:
        caught = _Caught(weight)
        with caught:
            logits = _head(net, final)
        vector = caught.vector
    if vector is not None and vector.dim() == 4 and vector.shape[2:] == (1, 1):
        vector = vector.flatten(1)
    if vector is None or vector.dim() != 2:
        vector = net.forward_head(final, pre_logits=True)
    return logits, vector


def _classifier_weight(net: Any) -> Tensor | None:
    classifier = net.get_classifier() if hasattr(net, "get_classifier") else None
    if isinstance(classifier, (tuple, list)):
        classifier = classifier[0]
    if not isinstance(classifier, nn.Module) or isinstance(classifier, (nn.ModuleList, nn.ModuleDict)):
        return None
    for parameter in classifier.parameters():  # of a block: its first, with which the vector is used first
        return parameter
    return None


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    info = getattr(model, "feature_info", None)
    info = getattr(info, "info", info)
    if not is_timm_model(model) or not info:
        raise UserError(
            Problem(
                "",
                f"{type(model).__name__} has no information about its feature maps",
                hint="name a module path instead of a stage number, or an adapter for this model",
            )
        )
    return list(info)


def _gives_prefix(model: nn.Module) -> bool:
    # if they have no such tokens, some classes return maps alone and one raises
    takes = inspect.signature(cast("Any", model).forward_intermediates).parameters
    return "return_prefix_tokens" in takes and (getattr(model, "num_prefix_tokens", 0) or 0) > 0
