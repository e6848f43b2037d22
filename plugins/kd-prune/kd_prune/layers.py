"""The layers of a model that need care: its classifier, its attentions, and the numbers that say how wide it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from kdcore import Problem, UserError
from kdcore.plugin import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PROJECTIONS: Final = {"qkv": 3, "kv": 2, "q": 1, "k": 1, "v": 1, "q_proj": 1, "k_proj": 1, "v_proj": 1}
"""What timm's attentions call the layers that make queries, keys and values, and how many of these each makes."""


def classifiers(model: nn.Module, images: Tensor) -> list[nn.Module]:
    """The layers that give the logits: timm's, or otherwise the layer whose output is that of the model."""
    found: Any = getattr(model, "get_classifier", lambda: None)()
    several = found if isinstance(found, tuple | list) else (found,)
    own = [one for one in several if isinstance(one, nn.Module) and not isinstance(one, nn.Identity)]
    return own or list(_giving_the_output(model, images))


def _giving_the_output(model: nn.Module, images: Tensor) -> Iterator[nn.Module]:
    outputs: dict[nn.Module, Tensor] = {}  # held until the end: freed memory is used again for other tensors

    def note(module: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor):
            outputs[module] = output

    layers = [one for one in model.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            output: object = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    if isinstance(output, Tensor):
        yield from (layer for layer, own in outputs.items() if own.data_ptr() == output.data_ptr())


def kept_layers(model: nn.Module, paths: Iterable[str]) -> list[nn.Module]:
    """The modules at these paths.

    Raises:
        UserError: a path does not exist.
    """
    modules = dict(model.named_modules())
    problems = [
        Problem(
            f"keep[{number}]",
            "the model has no module at this path",
            path,
            allowed=listed([name for name in modules if name], 12),
            nearest=nearest(path, modules),
        )
        for number, path in enumerate(paths)
        if not path or path not in modules
    ]
    if problems:
        raise UserError(problems)
    return [modules[path] for path in paths]


def heads_of(model: nn.Module) -> dict[nn.Module, int]:
    """The number of heads of each layer that makes queries, keys or values."""
    return {layer: heads for _, heads, layers in _attentions(model) for layer in layers}


def set_widths(before: nn.Module, after: nn.Module, images: Tensor) -> None:
    """Set the numbers of a pruned model that say how wide it is, as timm's classes have them."""
    for module, heads, layers in _attentions(after):
        parts = next(_PROJECTIONS[name] for name in _PROJECTIONS if getattr(module, name, None) is layers[0])
        width = layers[0].out_features // parts
        values = {"attn_dim": width, "head_dim": width // heads, "scale": (width // heads) ** -0.5}
        for name, value in values.items():
            if type(getattr(module, name, None)) is type(value):
                setattr(module, name, value)
    for module in after.modules():
        inner = getattr(module, "fc", None)
        if isinstance(inner, nn.Linear) and isinstance(vars(module).get("in_features"), int):
            module.in_features = inner.in_features  # type: ignore[assignment]  # it is a number
    old, new = (_features(model, images) for model in (before, after))
    wide = getattr(before, "num_features", None)
    for name in ("num_features", "embed_dim", "head_hidden_size"):
        value = getattr(before, name, None)
        if isinstance(value, int) and name in vars(after):
            changed = [b for a, b in zip(old, new, strict=False) if a == wide and value == wide and a != b]
            own = [one.in_features for one in classifiers(after, images) if isinstance(one, nn.Linear)]
            found = own if name == "head_hidden_size" else changed
            if found:
                setattr(after, name, found[0])


def _features(model: nn.Module, images: Tensor) -> Sequence[int]:
    forward = getattr(model, "forward_features", None)
    if forward is None:
        return ()
    with torch.no_grad():
        found: object = forward(images)
    return tuple(found.shape) if isinstance(found, Tensor) else ()


def _attentions(model: nn.Module) -> Iterator[tuple[Any, int, list[nn.Linear]]]:
    for module in model.modules():
        heads = getattr(module, "num_heads", None)
        layers = [
            layer for name in _PROJECTIONS if isinstance(layer := getattr(module, name, None), nn.Linear)
        ]
        if isinstance(heads, int) and layers:
            yield module, heads, layers
