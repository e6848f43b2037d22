"""Where a network is rounded to 8 bits, found out in one pass through it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from timm.layers import BatchNormAct2d, Conv2dSame, Linear
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYERS: Final = (nn.Conv2d, Conv2dSame, nn.Linear, Linear)
"""The layers that become integers; a subclass may compute its weight from another one."""
_NORMS: Final = (nn.BatchNorm2d, BatchNormAct2d)
_CLIPPING: Final = (nn.ReLU, nn.ReLU6)  # runtimes compute them together with the layer
_Key = tuple[int, int]
Side = Literal["in", "out", "logits"]


@dataclass(frozen=True)
class Plan:
    """What is rounded.

    Attributes:
        layers: the layers with 8-bit weights by path, each with the path of the batch norm that reads it, or None.
        points: modules whose input or output is rounded, by path. `logits`: its output is that of the network, of which
            only the range is measured: rounded logits would often be equal.
    """

    layers: dict[str, str | None]
    points: tuple[tuple[str, Side], ...]

    def as_record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"layers": self.layers, "points": [list(point) for point in self.points]}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Plan:
        """From what `as_record` gave."""
        return cls(dict(record["layers"]), tuple((path, side) for path, side in record["points"]))


def make_plan(model: nn.Module, image_size: tuple[int, int], in_chans: int) -> Plan:
    """Find the layers, and the places before and after them that are rounded.

    A layer's output is rounded after its batch norm, unless something else reads it before the norm, and after a ReLU
    that follows, where a runtime computes the three as one. A layer's input is rounded unless it is the rounded output
    of another one. Layers that run several times in a pass, or not at all, are left as they are.
    """
    seen = _watch(model, image_size, in_chans)
    layers: dict[str, str | None] = {}
    points: list[tuple[str, Side]] = []
    rounded: set[_Key] = set()
    for path in seen.order:
        if path not in seen.once or type(seen.modules[path]) not in LAYERS:
            continue
        if seen.entered[path] not in rounded:
            points.append((path, "in"))
        norm = seen.norms.get(path)
        layers[path] = norm
        point = _end(seen, path if norm is None else norm)
        if point[1] == "out" and seen.left[point[0]] == seen.left.get(""):
            point = point[0], "logits"
        points.append(point)
        if point[1] == "out":
            rounded.add(seen.left[point[0]])
    return Plan(layers, tuple(points))


@dataclass
class _Seen:
    """One pass: the modules by path, and the tensors that entered and left those that ran once.

    `norms`: by the path of a layer, the batch norm that alone reads its output.
    """

    modules: dict[str, nn.Module]
    runs: dict[str, int] = field(default_factory=dict)
    entered: dict[str, _Key] = field(default_factory=dict)
    left: dict[str, _Key] = field(default_factory=dict)
    norms: dict[str, str] = field(default_factory=dict)
    held: list[Tensor] = field(default_factory=list)  # so that no identity is given twice

    @property
    def order(self) -> list[str]:
        return list(self.runs)

    @property
    def once(self) -> set[str]:
        return {path for path, count in self.runs.items() if count == 1 and path in self.left}

    def key(self, tensor: Tensor) -> _Key:
        self.held.append(tensor)
        return id(tensor), tensor._version

    def reader(self, key: _Key, kinds: tuple[type[nn.Module], ...]) -> str | None:
        """The module of one of these kinds that this tensor enters."""
        found = [
            path for path in self.once if self.entered[path] == key and type(self.modules[path]) in kinds
        ]
        return found[0] if len(found) == 1 else None


def _end(seen: _Seen, path: str) -> tuple[str, Side]:
    """Where the output of a layer, or of the norm after it, is rounded."""
    inner = getattr(seen.modules[path], "act", None)
    if isinstance(inner, nn.Module) and not isinstance(inner, nn.Identity) and f"{path}.act" in seen.once:
        return (path, "out") if type(inner) in _CLIPPING else (f"{path}.act", "in")
    after = seen.reader(seen.left[path], _CLIPPING)
    return (path if after is None else after), "out"


def _watch(model: nn.Module, image_size: tuple[int, int], in_chans: int) -> _Seen:
    """A pass through a copy of the network, on the meta device if it can do that."""
    try:
        return _pass(copy.deepcopy(model).to("meta"), image_size, in_chans)
    except Exception:  # some networks read the value of a tensor
        twin = copy.deepcopy(model)
        if any(one.is_meta for one in twin.parameters()):
            twin = twin.to_empty(device="cpu")
            with torch.no_grad():
                for one in (*twin.parameters(), *twin.buffers()):
                    one.zero_()
        return _pass(twin, image_size, in_chans)


def _pass(twin: nn.Module, image_size: tuple[int, int], in_chans: int) -> _Seen:
    seen = _Seen(dict(twin.named_modules()))

    def entering(path: str, arguments: tuple[Any, ...]) -> None:
        seen.runs[path] = seen.runs.get(path, 0) + 1
        if arguments and isinstance(arguments[0], Tensor):
            seen.entered[path] = seen.key(arguments[0])

    def leaving(path: str, output: Any) -> None:
        if isinstance(output, Tensor) and path in seen.entered:
            seen.left[path] = seen.key(output)

    hooks = []
    for path, module in seen.modules.items():
        hooks.append(module.register_forward_pre_hook(lambda _, given, path=path: entering(path, given)))
        hooks.append(module.register_forward_hook(lambda _, __, output, path=path: leaving(path, output)))
    images = torch.zeros(2, in_chans, *image_size, device=next(twin.parameters()).device)
    with torch.no_grad():
        twin.eval()(images)
    for hook in hooks:
        hook.remove()
    seen.norms = _norms(seen, twin, images)
    return seen


def _norms(seen: _Seen, twin: nn.Module, images: Tensor) -> dict[str, str]:
    """The batch norm after each layer, if nothing else reads the layer's output, such as a shortcut.

    With the norms' inputs cut off, a gradient reaches only outputs that something else reads.
    """
    layers = [path for path in seen.once if type(seen.modules[path]) in LAYERS]
    read_by = {path: seen.reader(seen.left[path], _NORMS) for path in layers}
    # without running statistics a norm depends on the batch, and cannot be folded
    pairs = {
        path: norm
        for path, norm in read_by.items()
        if norm is not None and seen.modules[norm].running_mean is not None
    }
    outputs: dict[str, Tensor] = {}
    for path, norm in pairs.items():
        seen.modules[path].register_forward_hook(
            lambda _, __, output, path=path: outputs.__setitem__(path, output)
        )
        seen.modules[norm].register_forward_pre_hook(lambda _, given: (given[0].detach(), *given[1:]))
    with torch.enable_grad():
        result = twin.requires_grad_()(images)
        if not outputs or not result.requires_grad:
            return pairs
        found = torch.autograd.grad(result.sum(), list(outputs.values()), allow_unused=True)
    return {path: pairs[path] for path, gradient in zip(outputs, found, strict=True) if gradient is None}
