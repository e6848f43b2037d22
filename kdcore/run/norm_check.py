"""A check before training: every norm of a run must get enough values to compute a variance."""

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
"""Size of the test batch: with one image, torch would refuse the first batch norm and hide the others."""


def norm_problems(spec: RunSpec, prepared: Prepared, world: int) -> Iterator[Problem]:
    """Find norms of student and heads that get too few values; `prepared` is on the meta device.

    Batch norm needs more than one value in each channel. It gets only one if a batch has one image and the map is 1x1
    or the norm follows pooling. Each process normalises its own part of a batch, unless `train.sync_bn` is set.
    Instance norm cannot use a map of 1x1, whatever the size of the batch.

    Args:
        spec: the spec of the run.
        prepared: the models and data of the run.
        world: the number of processes that share a batch.
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
            f"{_named(flat)} gets a map of 1x1, but instance norm needs more than one value in each channel",
            value=prepared.models.input.image_size,
            hint="use larger images, or a model without instance norm",
        )
    if single:
        yield _too_few(spec, prepared, world, single)


def _trained(name: str, module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm | _InstanceNorm | nn.GroupNorm) and not name.startswith("teacher.")


def _images_seen(name: str, spec: RunSpec, prepared: Prepared, images: int, world: int) -> int:
    """The number of images over which a norm computes its statistics."""
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
    """The shapes of the norms' inputs in a training step with a batch of two images."""
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
        # code that reads values fails on the meta device: what ran before it is known
        stack.enter_context(suppress(Exception))
        distillation.train()
        views, channels = distillation.requires.num_views, len(prepared.models.input.mean)
        size = (channels, *prepared.models.input.image_size)
        shape = (_TRIED, *size) if views == 1 else (_TRIED, views, *size)
        target: Tensor = torch.zeros(_TRIED, dtype=torch.int64, device="meta")
        partner = None if distillation.requires.partner is None else torch.empty(_TRIED, *size, device="meta")
        distillation(torch.empty(shape, device="meta"), target, index=target, partner=partner)
    return shapes


def _values(module: nn.Module, shape: tuple[int, ...]) -> int:
    """The number of values per image for one mean and variance."""
    values = 1
    for side in shape[2:]:
        values *= side
    if isinstance(module, nn.GroupNorm):
        values *= shape[1] // module.num_groups
    if isinstance(module, _BatchNorm):
        values *= max(1, shape[0] // _TRIED)  # several views of an image
    return values


def _too_few(spec: RunSpec, prepared: Prepared, world: int, names: list[str]) -> Problem:
    few = f"{_named(names)} gets one value in each channel, but batch norm needs at least two"
    least = 2 * world
    if prepared.train.size is not None and prepared.train.size < min(spec.train.batch_size, least):
        where = "data.train_split" if spec.data.train_samples is None else "data.train_samples"
        message = f"there are only {prepared.train.size} training images"
        each = f" for {world} processes" if world > 1 else ""
        hint = f"use at least {least} images, or a model without batch norm, such as a ViT or ConvNeXt"
        return Problem(where, f"{message}{each}: {few}", value=spec.data.train_samples, hint=hint)
    each = f" for each of {world} processes" if world > 1 else ""
    hint = f"set train.batch_size to at least {least}"
    if world > 1 and not spec.train.sync_bn:
        hint += ", or set train.sync_bn, which computes the statistics over all processes"
    hint += "; or use a model without batch norm, such as a ViT or ConvNeXt"
    message = f"a batch is one image{each}: {few}"
    return Problem("train.batch_size", message, value=spec.train.batch_size, hint=hint)


def _named(names: list[str]) -> str:
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"the norm {names[0]}{more}"
