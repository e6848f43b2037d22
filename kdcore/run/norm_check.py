"""Whether each normalisation of a run gets enough values to compute a variance from, found before training."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from kdcore.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from kdcore.run.prepare import Prepared
    from kdcore.spec.models import RunSpec

_TRIED: Final = 2
"""Images of the batch that is tried: with one, torch would refuse the first batch norm, and hide the others."""


def norm_problems(spec: RunSpec, prepared: Prepared, world: int) -> Iterator[Problem]:
    """What is wrong with the sizes that the norms of student and heads get; `prepared` is on the meta device.

    Batch norm over one value in each channel has no variance: a batch of one image, where the map is 1x1 or the norm
    comes after pooling. Each process normalises its own part of a batch, unless `train.sync_bn` joins them. Instance
    norm has none over a map of 1x1, however large the batch is.

    Args:
        spec: the run's.
        prepared: what is trained.
        world: processes that share a batch.
    """
    distillation = prepared.distillation
    modules = {f"{name}": module for name, module in distillation.named_modules() if _trained(name, module)}
    images = prepared.train.batch_size // world
    if images > 1 and not any(isinstance(module, _InstanceNorm) for module in modules.values()):
        return
    single: list[str] = []
    flat: list[str] = []
    for name, shape in _input_shapes(prepared, modules).items():
        values = _values(modules[name], shape)
        if isinstance(modules[name], _InstanceNorm):
            flat += [name] if values == 1 else []
        elif values * _images_seen(name, spec, prepared, images, world) == 1:
            single.append(name)
    if flat:
        yield Problem(
            "data.image_size",
            f"{_named(flat)} normalises a map of 1x1, one value in each channel, which has no variance",
            value=prepared.models.input.image_size,
            hint="larger images would do, or a model without instance norm",
        )
    if single:
        yield _too_few(spec, prepared, world, single)


def _trained(name: str, module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm | _InstanceNorm | nn.GroupNorm) and not name.startswith("teacher.")


def _images_seen(name: str, spec: RunSpec, prepared: Prepared, images: int, world: int) -> int:
    """Images over which a norm computes its statistics."""
    if spec.train.sync_bn:
        return images * world
    parts = name.split(".")
    if parts[0] == "distillers":
        distiller = dict(prepared.distillation.distillers.named_children())[parts[1]]
        requires = getattr(distiller, "requires", None)
        if getattr(requires, "whole_batch", False):
            return images * world
    return images


def _input_shapes(prepared: Prepared, modules: dict[str, nn.Module]) -> dict[str, tuple[int, ...]]:
    """The shapes that the norms get in a training step with a batch of two images."""
    distillation = prepared.distillation
    shapes: dict[str, tuple[int, ...]] = {}
    with ExitStack() as stack:
        for name, module in modules.items():

            def look(_: nn.Module, given: tuple[Any, ...], name: str = name) -> None:
                shape = tuple(given[0].shape)
                if name not in shapes or shape[2:] < shapes[name][2:]:
                    shapes[name] = shape

            stack.callback(module.register_forward_pre_hook(look).remove)
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.no_grad())
        stack.enter_context(suppress(Exception))  # code that looks at values ends here: what ran is known
        distillation.train()
        views, channels = distillation.requires.views, len(prepared.models.input.mean)
        size = (channels, *prepared.models.input.image_size)
        shape = (_TRIED, *size) if views == 1 else (_TRIED, views, *size)
        target: Tensor = torch.zeros(_TRIED, dtype=torch.int64, device="meta")
        distillation(torch.empty(shape, device="meta"), target, index=target)
    return shapes


def _values(module: nn.Module, shape: tuple[int, ...]) -> int:
    """How many values one image gives to one mean and variance."""
    values = 1
    for side in shape[2:]:
        values *= side
    if isinstance(module, nn.GroupNorm):
        values *= shape[1] // module.num_groups
    if isinstance(module, _BatchNorm):
        values *= max(1, shape[0] // _TRIED)  # several views of an image
    return values


def _too_few(spec: RunSpec, prepared: Prepared, world: int, names: list[str]) -> Problem:
    few = f"{_named(names)} gets one value in each channel, of which batch norm can compute no variance"
    least = 2 * world
    if prepared.train.size is not None and prepared.train.size < min(spec.train.batch_size, least):
        where = "data.train_split" if spec.data.train_samples is None else "data.train_samples"
        message = f"there are only {prepared.train.size} training images"
        each = f", which {world} processes share" if world > 1 else ""
        hint = f"{least} images would do; or a model without batch norm, such as a ViT or ConvNeXt"
        return Problem(where, f"{message}{each}: {few}", value=spec.data.train_samples, hint=hint)
    each = f" for each of {world} processes" if world > 1 else ""
    hint = f"train.batch_size {least} would do"
    if world > 1 and not spec.train.sync_bn:
        hint += ", or train.sync_bn, which computes them over all processes"
    hint += "; or a model without batch norm, such as a ViT or ConvNeXt"
    message = f"a batch is one image{each}: {few}"
    return Problem("train.batch_size", message, value=spec.train.batch_size, hint=hint)


def _named(names: list[str]) -> str:
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"the norm {names[0]}{more}"
