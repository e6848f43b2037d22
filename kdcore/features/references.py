"""What a stage that is given as text refers to: a module's output, its input, or the weights of an attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from torch import Tensor, nn

from kdcore.protocols import FeatureMap

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from kdcore.features.tap import Tap

_INPUT: Final = ":in"
_ATTENTION: Final = "attention:"


@dataclass(frozen=True, slots=True)
class StageReference:
    """A stage that is given as text.

    Attributes:
        kind: `output` for `PATH`, `input` for `PATH:in`, `attention` for `attention:PATH`.
        path: of the module.
    """

    kind: Literal["output", "input", "attention"]
    path: str

    @property
    def where(self) -> str:
        """For messages."""
        return {
            "output": f"module '{self.path}'",
            "input": f"the input of module '{self.path}'",
            "attention": f"the attention of module '{self.path}'",
        }[self.kind]


def parse_stage(text: str) -> StageReference:
    """What the text refers to."""
    if text.startswith(_ATTENTION):
        return StageReference("attention", text.removeprefix(_ATTENTION))
    if text.endswith(_INPUT):
        return StageReference("input", text.removesuffix(_INPUT))
    return StageReference("output", text)


def watch(module: nn.Module, reference: StageReference, tap: Tap) -> RemovableHandle:
    """Give the tap what the reference names, in each pass of the module.

    The attention's weights are what goes into the module's dropout `attn_drop`, after the softmax. A fused kernel
    never computes them, so the module computes without it from now on (timm's attribute `fused_attn`).

    Raises:
        ValueError: the module is not an attention whose weights can be read.
    """
    if reference.kind == "output":
        return module.register_forward_hook(tap)
    if reference.kind == "input":
        return module.register_forward_pre_hook(_InputHook(tap), with_kwargs=True)
    dropout = getattr(module, "attn_drop", None)
    if not isinstance(dropout, nn.Module):
        raise ValueError(
            f"{type(module).__name__} has no module 'attn_drop', so its attention weights cannot be read"
        )
    if hasattr(module, "fused_attn"):
        module.fused_attn = False  # type: ignore[assignment]  # a plain attribute of timm
    return dropout.register_forward_pre_hook(_InputHook(tap), with_kwargs=True)


def attention_map(weights: Any, batch: int) -> FeatureMap:
    """The weights of an attention `[B, heads, N, N]` as a feature map.

    Raises:
        ValueError: they have another shape, as those of attentions inside windows have.
    """
    if not isinstance(weights, Tensor):
        raise ValueError(f"it gives {type(weights).__name__}, not a tensor")
    shape = list(weights.shape)
    if weights.dim() != 4 or shape[0] != batch or shape[2] != shape[3]:
        raise ValueError(f"its weights {shape} are not [B, heads, N, N] with B = {batch}")
    return FeatureMap(weights)


@dataclass(frozen=True, slots=True)
class _InputHook:
    """Gives the tap a module's first argument. An object, because a deep copy of a model copies it with its tap."""

    tap: Tap

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args or tuple(kwargs.values())
        self.tap(module, args, given[0] if given else None)
