"""Every module path of the smallest model of each class as a stage: it gives what the module gave at that moment."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kdcore.features import find_adapter
from kdcore.features.layout import first_of
from kdcore.features.tap import Tap
from kdcore.plugins import get_plugins
from kdcore.protocols import STAGES
from timm_coverage.numbers import DROP_RATE, SMALLER, perturb
from timm_coverage.pair import create, image_size, images_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from kdcore.protocols import ModelOutput

Record = dict[str, Any]
# (training mode, gradients): a student's pass, and a teacher's
PASSES = ((True, True), (False, False))

# the last map of these is behind an activation that works in place, as timm's `feature_info` says
INTENDED = {"nasnetalarge": {"4: cell_17"}}


def check_paths(name: str) -> Record:
    """The record of one model of timm, at the size at which `check_numbers` tries it.

    - `paths`: modules that ran
    - `overwritten`: those whose output a later operation changed in place, in a pass of either kind
    - `wrong`: those whose features are not what the module gave, in the first pass of a kind or in the second
    - `stages`: numbered stages that were changed in place after the module that gave them
    """
    smaller = SMALLER.get(name)
    torch.manual_seed(0)
    model = create(name, "cpu", drop_rate=DROP_RATE, **(smaller.options if smaller else {}))
    perturb(model)
    size = (smaller.side, smaller.side) if smaller else image_size(model)
    record = check_model(model, images_for(size, "cpu"))
    record["stages"] = [stage for stage in record["stages"] if stage not in INTENDED.get(name, ())]
    return {"model": name, **record}


def check_model(model: nn.Module, images: Tensor) -> Record:
    """The record of a model on these images; see `check_paths`."""
    adapter = find_adapter(model, None, get_plugins(), "student")
    taps = {path: Tap() for path, _ in model.named_modules()}
    given: dict[str, tuple[Tensor, Tensor]] = {}  # the output, and a copy from the moment when it was given

    def keep(path: str, output: Any) -> None:
        first = first_of(output)
        if isinstance(first, Tensor):
            given[path] = (first, first.detach().clone())

    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_hook(taps[path]))
        handles.append(module.register_forward_hook(lambda _, __, output, path=path: keep(path, output)))
    overwritten, wrong, stages = set(), set(), set()
    for training, gradients in (*PASSES, *PASSES):
        model.train(training)
        given.clear()
        for tap in taps.values():
            tap.begin()
        with contextlib.nullcontext() if gradients else torch.no_grad():
            output = adapter.forward(model, images, STAGES, False)
        found = {path: tap.end(path)[1] for path, tap in taps.items()}
        overwritten |= {path for path, (one, copy) in given.items() if not same(one, copy)}
        wrong |= {path for path, (_, copy) in given.items() if not same(found[path], copy)}
        stages |= changed_stages(model, output, given)
    for handle in handles:
        handle.remove()
    return {
        "paths": len(given),
        "overwritten": sorted(overwritten),
        "wrong": sorted(wrong),
        "stages": sorted(stages),
    }


def changed_stages(
    model: nn.Module, output: ModelOutput, given: Mapping[str, tuple[Tensor, Tensor]]
) -> set[str]:
    """Numbered stages whose memory an outermost block gave, with other values in it by now."""
    found = set()
    for stage, feature in output.features.items():
        memory = feature.map.untyped_storage().data_ptr()
        blocks = [
            path
            for path, (one, _) in given.items()
            if one.untyped_storage().data_ptr() == memory
            and any(True for _ in model.get_submodule(path).children())
        ]
        outermost = min((path.count(".") for path in blocks), default=0)
        # a block may change in place what a block inside it gave
        found |= {
            f"{stage}: {path}" for path in blocks if path.count(".") == outermost and not same(*given[path])
        }
    return found


def same(one: Tensor, other: Tensor) -> bool:
    """Bit-equal; NaN is equal to NaN."""
    return torch.allclose(one.detach(), other, rtol=0, atol=0, equal_nan=True)
