"""The rest of a model from a stage on: from a feature map to the logits, without the layers before it."""

from __future__ import annotations

import copy
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import Tensor, nn

from kdcore import compat
from kdcore.protocols import FeatureMap, ModelOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kdcore.protocols import Stage

Layout = Literal["channels first", "channels last", "tokens"]
Head = Callable[[nn.Module, Any, bool], ModelOutput]
"""(model, final features, embedding) -> its output."""


@dataclass(frozen=True)
class _Chain:
    """A class whose `forward_features` calls modules one after another.

    Attributes:
        modules: their names, in this order; a module may be a sequence that is cut between two of its own.
        layout: of the features between them.
    """

    modules: tuple[str, ...]
    layout: Layout = "channels first"


_STAGES: Final = _Chain(("stem", "stages"))
_VIT: Final = _Chain(("patch_embed", "patch_drop", "norm_pre", "blocks", "norm"), "tokens")
_SWIN: Final = _Chain(("patch_embed", "layers", "norm"), "channels last")
_CHAINS: Final = {
    "timm.models.byobnet:ByobNet": _Chain(("stem", "stages", "final_conv")),
    "timm.models.convnext:ConvNeXt": _Chain(("stem", "stages", "norm_pre")),
    "timm.models.deit:VisionTransformerDistilled": _VIT,
    "timm.models.densenet:DenseNet": _Chain(("features",)),
    "timm.models.edgenext:EdgeNeXt": _Chain(("stem", "stages", "norm_pre")),
    "timm.models.efficientnet:EfficientNet": _Chain(("conv_stem", "bn1", "blocks", "conv_head", "bn2")),
    "timm.models.efficientvit_mit:EfficientVit": _STAGES,
    "timm.models.hgnet:HighPerfGpuNet": _STAGES,
    "timm.models.inception_next:MetaNeXt": _STAGES,
    "timm.models.metaformer:MetaFormer": _STAGES,
    "timm.models.mlp_mixer:MlpMixer": _Chain(("stem", "blocks", "norm"), "tokens"),
    "timm.models.mobilenetv3:MobileNetV3": _Chain(("conv_stem", "bn1", "blocks")),
    "timm.models.regnet:RegNet": _Chain(("stem", "s1", "s2", "s3", "s4", "final_conv")),
    "timm.models.repvit:RepVit": _STAGES,
    "timm.models.resnet:ResNet": _Chain(
        ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4")
    ),
    "timm.models.swin_transformer:SwinTransformer": _SWIN,
    "timm.models.swin_transformer_v2:SwinTransformerV2": _SWIN,
    "timm.models.vgg:VGG": _Chain(("features",)),
    "timm.models.vision_transformer:VisionTransformer": _VIT,
}
"""By class: those for which a test compares the logits with those of a whole pass."""
_METHODS: Final = ("forward_features", "forward_intermediates")


class Tail(nn.Module):
    """The layers of a model after a stage, and its classifier.

    They are the model's own modules. If the model is frozen, as a teacher is, they stay in evaluation mode; otherwise
    the mode is the model's. The layers before the stage are not part of it.

    Args:
        model: the model.
        last: path of the last module before the cut, such as `layer2` or `blocks.5`.
        head: from the model's final features to its output.
        prefix_tokens: the number of class and register tokens of a transformer.
        later: the path of the last module of each later stage.

    Raises:
        ValueError: the model cannot be cut there.
    """

    def __init__(
        self,
        model: nn.Module,
        last: str,
        head: Head,
        prefix_tokens: int = 0,
        later: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__()
        self._later = dict(later or {})
        chain = _chain_of(model)
        if chain is None:
            raise ValueError(f"the layers of {type(model).__name__} cannot be run from a stage on")
        self._chain, self._last, self._head, self._prefix = chain, last, head, prefix_tokens
        self._of = weakref.ref(model)
        self._frozen = not any(parameter.requires_grad for parameter in model.parameters())
        self.layers = _without_beginning(model, chain, last)
        self.train(model.training)

    def forward(
        self, feature: FeatureMap | Tensor, embedding: bool = False, stages: Sequence[int] = ()
    ) -> ModelOutput:
        """The logits for a feature map of the stage, `[B, C, H, W]`; with `embedding`, also the embedding.

        `stages` are later stages, whose maps are in `features`. The gradient reaches the map; the parameters of a
        frozen model get none.

        Raises:
            ValueError: the model has class or register tokens, and `feature` has none; or a stage is not a later one.
        """
        whole = self._of()
        if whole is not None and not self._frozen:
            self.layers.training = whole.training  # for dropout that the model itself calls
        layers: Any = self.layers
        wrong = [stage for stage in stages if stage not in self._later]
        if wrong:
            raise ValueError(
                f"stage {wrong[0]} is not among the later ones, {', '.join(map(str, self._later))}"
            )
        found: dict[Stage, Tensor] = {}
        handles = [
            self.layers.get_submodule(self._later[stage]).register_forward_hook(_kept(found, stage))
            for stage in stages
        ]
        try:
            output = self._head(self.layers, layers.forward_features(self._input(feature)), embedding)
        finally:
            for handle in handles:
                handle.remove()
        grid = (feature.map if isinstance(feature, FeatureMap) else feature).shape[2:]
        maps = {stage: self._as_map(value, grid) for stage, value in found.items()}
        return replace(output, features=maps) if maps else output

    def train(self, mode: bool = True) -> Tail:
        """Set the mode; that of a frozen model does not change."""
        return super().train(mode and not self._frozen)

    def renew(self) -> None:
        """Take the model's modules again, after some of them were replaced."""
        model = self._of()
        if model is not None:
            self.layers = _without_beginning(model, self._chain, self._last)
            self.train(model.training)

    def _as_map(self, value: Tensor, grid: torch.Size) -> FeatureMap:
        """An output between two of the chain's modules as a feature map."""
        if self._chain.layout == "channels first":
            return FeatureMap(value)
        if self._chain.layout == "channels last":
            return FeatureMap(value.permute(0, 3, 1, 2))
        tokens = value[:, self._prefix :].mT.reshape(len(value), -1, *grid)
        return FeatureMap(tokens, value[:, : self._prefix] if self._prefix else None)

    def _input(self, feature: FeatureMap | Tensor) -> Tensor:
        given = feature if isinstance(feature, FeatureMap) else FeatureMap(feature)
        if self._chain.layout == "channels first":
            return given.map
        if self._chain.layout == "channels last":
            return given.map.permute(0, 2, 3, 1).contiguous()
        tokens = given.map.flatten(2).transpose(1, 2)
        found = 0 if given.prefix is None else given.prefix.shape[1]
        if found != self._prefix:
            raise ValueError(
                f"the model has {self._prefix} class and register tokens, and the feature map has {found}: "
                "give a FeatureMap with its prefix"
            )
        return tokens if given.prefix is None else torch.cat([given.prefix, tokens], dim=1)


def _kept(found: dict[Stage, Tensor], stage: Stage) -> Callable[..., None]:
    """A hook that keeps an output; a copy, because a later operation may change it in place."""

    def hook(module: nn.Module, given: object, output: Tensor) -> None:
        found[stage] = output.clone()

    return hook


def _chain_of(model: nn.Module) -> _Chain | None:
    for cls in type(model).__mro__:
        chain = _CHAINS.get(f"{cls.__module__}:{cls.__qualname__}")
        if chain is not None:
            # a subclass that computes in another way is not this class
            same = all(getattr(type(model), name) is getattr(cls, name) for name in _METHODS)
            return chain if same and hasattr(model, chain.modules[-1]) else None
    return None


def _without_beginning(model: nn.Module, chain: _Chain, last: str) -> nn.Module:
    """A model that shares the modules after `last`; those before do nothing."""
    name, _, inner = last.partition(".")
    if name not in chain.modules:
        raise ValueError(f"{type(model).__name__} has no cut after '{last}'")
    shell = _shell(model)
    for before in chain.modules[: chain.modules.index(name)]:
        if before in shell._modules:
            shell._modules[before] = nn.Identity()
    shell._modules[name] = _sequence_after(model.get_submodule(name), inner) if inner else nn.Identity()
    if chain.layout == "tokens":
        shell.__dict__["_pos_embed"] = _same  # positions and class tokens are part of the beginning
    return shell


def _sequence_after(sequence: nn.Module, last: str) -> nn.Module:
    rest = _shell(sequence)
    if not isinstance(sequence, nn.Sequential | nn.ModuleList) or last not in rest._modules:
        raise ValueError(f"there is no cut after '{last}' in {type(sequence).__name__}")
    for child in _until(rest._modules, last):
        rest._modules[child] = nn.Identity()
    return rest


def _until(names: dict[str, Any], last: str) -> Iterator[str]:
    for name in list(names):
        yield name
        if name == last:
            return


def _shell(module: nn.Module) -> nn.Module:
    """A copy that shares its submodules, and has no parameters, buffers and hooks of its own."""
    shell = copy.copy(module)
    shell._modules = dict(module._modules)
    shell._parameters, shell._buffers = {}, {}
    for name in compat.FORWARD_HOOKS:
        setattr(shell, name, OrderedDict())
    return shell


def _same(tokens: Tensor) -> Tensor:
    return tokens
