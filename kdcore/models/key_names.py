"""Names of weights as other tools write them, made those of the model: prefixes, wrappers, counters of profilers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem, UserError, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

_WRAPPERS: Final = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""Names that torch.compile, FSDP and activation checkpointing put into names, anywhere."""

_PREFIXES: Final = (
    "module",
    "model",
    "net",
    "network",
    "backbone",
    "student",
    "teacher",
    "ema",
    "ema_model",
    "encoder",
    "classifier",
    *_WRAPPERS,
)

_COUNTERS: Final = ("total_ops", "total_params", "n_averaged")
"""Buffers of thop (twice in each layer) and of torch's AveragedModel, which no forward pass reads."""


def renamed(weights: Mapping[str, Tensor], own: Iterable[str], where: str) -> dict[str, Tensor]:
    """The weights under the model's own names, as far as prefixes, wrappers and counters are what differs.

    A prefix is what all names begin with, or what all names of one of several models in the file begin with; it is
    taken away only where more names fit then.

    Raises:
        UserError: several models in the file fit.
    """
    own = set(own)
    kept = {
        name: value for name, value in weights.items() if name in own or name.split(".")[-1] not in _COUNTERS
    }
    if own <= kept.keys():
        return kept
    kept = {name if name in own else _unwrapped(name): value for name, value in kept.items()}
    best, fitting = kept, _fitting(kept, own)
    for candidate in _stripped(kept):
        fit = _fitting(candidate, own)
        if fit > fitting:
            best, fitting = candidate, fit
    if fitting * 2 < len(own):
        return _one_of_several(kept, own, where) or (best if fitting else _without_known_prefixes(kept))
    return best


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _fitting(weights: Mapping[str, Tensor], own: set[str]) -> int:
    return len(weights.keys() & own)


def _stripped(weights: dict[str, Tensor]) -> Iterable[dict[str, Tensor]]:
    """Without the first name that all have in common, without the first two, and so on."""
    while weights:
        first = {name.partition(".")[0] for name in weights}
        if len(first) > 1 or any("." not in name for name in weights):
            return
        weights = {name.partition(".")[2]: value for name, value in weights.items()}
        yield weights


def _one_of_several(weights: dict[str, Tensor], own: set[str], where: str) -> dict[str, Tensor] | None:
    """The only group of names with a first part in common whose rest has all the model's names."""
    fitting: dict[str, dict[str, Tensor]] = {}
    for prefix in dict.fromkeys(name.partition(".")[0] for name in weights):
        part = {name: value for name, value in weights.items() if name.startswith(f"{prefix}.")}
        for candidate in _stripped(part):
            if {name for name in own if not name.endswith("num_batches_tracked")} <= candidate.keys():
                fitting[prefix] = {name: value for name, value in candidate.items() if name in own}
                break
    if len(fitting) > 1:
        names = [f"{name}." for name in fitting]
        raise UserError(
            Problem(
                where,
                f"holds several models, under {listed(names, 5)}",
                hint="save the weights of the wanted one alone",
            )
        )
    return next(iter(fitting.values()), None)


def _without_known_prefixes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """For names that the architecture's own filter knows: only what other tools are known to put in front."""
    best = weights
    for candidate in _stripped(weights):
        if next(iter(best)).partition(".")[0] not in _PREFIXES:
            break
        best = candidate
    return best
