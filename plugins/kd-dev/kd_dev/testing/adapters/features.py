"""Checks of stages, feature maps and the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kd_dev.testing.adapters.subject import CHANNELS
from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.rig import logits_in, mapped, names, require_equal, tensors_of
from kdcore import GivesTail, UserError
from kdcore.inspect import Extractor, model_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_dev.testing.adapters.subject import AdapterSubject, Size
    from kdcore import ModelOutput, StageInfo


@rule(
    "adapter",
    summary="Feature maps have the shapes that `stages` announces, from shallow to deep, also for images twice "
    "as wide.",
    why="Distillers build their heads from the announced shapes.",
    fix="Compute shapes from the image size, height first. Tokens become `map [B, C, H, W]` row by row; "
    "class and register tokens go to `prefix [B, P, C]`.",
)
def stages_announced(subject: AdapterSubject) -> None:
    if not subject.announced:
        skip("it has no stages for this model")
    height, width = subject.size
    for size in ((height, width), (height, 2 * width)):
        model, images = subject.model(), subject.images(size)
        if size != subject.size:
            try:
                with torch.no_grad():
                    model(images)
            except Exception:
                return  # the model is built for one size
        adapter = subject.adapter()
        announced = tuple(adapter.stages(model, size))
        _check_order(announced)
        with torch.no_grad():
            output = adapter.forward(model, images, subject.numbers, False)
        for info in announced:
            _check_shape(info, output, len(images), size)


@rule(
    "adapter",
    summary="If one stage is requested, it gives only this one, with the same values as in a request for all.",
    why="Features that nothing reads use memory until the step is over.",
    fix="Put exactly the requested stages into `features`.",
)
def one_stage_alone(subject: AdapterSubject) -> None:
    if not subject.announced:
        skip("it has no stages for this model")
    model, images, adapter = subject.model(), subject.images(), subject.adapter()
    with torch.no_grad():
        together = adapter.forward(model, images, subject.numbers, False)
        for stage in subject.numbers:
            alone = adapter.forward(model, images, (stage,), False)
            if list(alone.features) != [stage]:
                raise Violation(f"if stage {stage} is requested, it gives {list(alone.features)}")
            wanted = {name: value for name, value in tensors_of(together).items() if f"[{stage!r}]" in name}
            found = {name: value for name, value in tensors_of(alone).items() if "features" in name}
            require_equal(found, wanted, f"stage {stage} alone")


@rule(
    "adapter",
    summary="The embedding is `[B, D]`; if the classifier is a linear layer, the embedding is its input.",
    why="Methods compare embeddings, and some pass the student's through the teacher's classifier.",
    fix="Use the classifier's input, after pooling, normalisation and dropout.",
)
def embedding(subject: AdapterSubject) -> None:
    if not subject.embeds:
        skip("it has no embedding for this model")
    model, images = subject.model(), subject.images()
    with torch.no_grad():
        output = subject.adapter().forward(model, images, (), True)
    vector, given = output.embedding, logits_in(output)
    if not isinstance(vector, torch.Tensor) or vector.dim() != 2 or len(vector) != len(images):
        shape = list(vector.shape) if isinstance(vector, torch.Tensor) else vector
        raise Violation(f"for {len(images)} images the embedding has shape {shape}")
    find: Any = getattr(model, "get_classifier", None)
    classifier = find() if callable(find) else None
    if isinstance(classifier, nn.Linear):
        if vector.shape[1] != classifier.in_features:
            raise Violation(
                f"the embedding has {vector.shape[1]} features, but the classifier takes {classifier.in_features}"
            )
        with torch.no_grad():
            logits = classifier(vector)
        if logits.shape != given.shape:
            raise Violation(
                f"from the embedding the classifier computes logits {list(logits.shape)}, not {list(given.shape)}"
            )
        if not torch.allclose(logits, given, rtol=1e-4, atol=1e-4):
            apart = (logits - given).abs().max().item()
            raise Violation(
                f"the classifier computes different logits from the embedding: they differ by up to {apart:.3g}"
            )


@rule(
    "adapter",
    summary="The logits' gradient is that of `model(images)` in every parameter, and each feature map has a "
    "gradient.",
    why="The student is trained through the adapter.",
    fix="Detach nothing, and compute nothing under `torch.no_grad`.",
)
def gradients(subject: AdapterSubject) -> None:
    images = subject.images()

    def reached(output: torch.Tensor, model: nn.Module) -> dict[str, torch.Tensor]:
        output.square().sum().backward()  # type: ignore[no-untyped-call]
        return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}

    plain, model = subject.model(), subject.model()
    wanted = reached(plain(images), plain)
    output = subject.ask(model, images)
    parts = {name: value for name, value in tensors_of(output).items() if name != "logits"}
    for name, value in parts.items():
        if not value.requires_grad:
            raise Violation(f"{name} has no gradient")
    found = reached(logits_in(output), model)
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise Violation(f"no gradient reaches {names(missing)} (of {len(wanted)} parameters)")
    for name, value in wanted.items():
        if not torch.allclose(found[name], value, rtol=1e-3, atol=1e-5 * value.abs().max().item()):
            raise Violation(f"the gradient of {name!r} differs from the one through model(images)")


@rule(
    "adapter",
    summary="Every layer that runs in `model(images)` is called in the adapter's pass, so that module paths "
    "work together with it.",
    why="A spec may name a module path as one stage and a number as another. kd reads module paths with "
    "forward hooks, which `module.forward(...)` does not trigger.",
    fix="Call modules as `module(x)`, not their `forward`.",
)
def module_path(subject: AdapterSubject) -> None:
    images = subject.images()

    def running(model: nn.Module, adapted: bool) -> list[str]:
        seen: list[str] = []
        for path, module in model.named_modules():
            if not any(True for _ in module.children()):
                module.register_forward_hook(lambda *_, path=path: seen.append(path))
        with torch.no_grad():
            subject.ask(model, images) if adapted else model(images)
        return seen

    wanted = running(subject.model(), False)
    missed = sorted(set(wanted) - set(running(subject.model(), True)))
    if missed:
        raise Violation(f"{names(missed)} did not run as module calls")
    model = subject.model()
    parametrised = [path for path in wanted if isinstance(model.get_submodule(path), nn.Conv2d)]
    if parametrised and subject.numbers:
        path = parametrised[len(parametrised) // 2]
        extract = Extractor(model, subject.adapter(), (path, *subject.numbers))
        with torch.no_grad():
            features = extract(images).features
        extract.close()
        if set(features) != {path, *subject.numbers}:
            raise Violation(
                f"if {path!r} and {list(subject.numbers)} are requested, it gives {list(features)}"
            )


@rule(
    "adapter",
    summary="On the meta device it announces the same stages and gives the same shapes.",
    why="`kd validate` and the start of a run probe shapes there, without memory and arithmetic.",
    fix="Do not read values of tensors, and create new ones on the device of the images.",
)
def without_memory(subject: AdapterSubject) -> None:
    model = subject.model().to("meta")
    adapter = subject.adapter()
    if subject.announced:
        announced = tuple(adapter.stages(model, subject.size))
        if announced != subject.announced:
            raise Violation(
                f"on the meta device it announces {announced}, but on the CPU {subject.announced}"
            )
    info = model_info("model", subject.model(), adapter, subject.size, CHANNELS)
    probed = tuple(info.stage(stage) for stage in subject.numbers)
    if probed != subject.announced:
        raise Violation(
            f"on the meta device the maps have the shapes {probed}, but it announces {subject.announced}"
        )
    if subject.embeds and info.embedding_dim < 1:
        raise Violation(f"on the meta device the embedding has {info.embedding_dim} features")


@rule(
    "adapter",
    summary="If it has a method `tail`, the layers after a stage give the logits of a whole pass for the stage's map, "
    "and a gradient to it; or it says that it cannot, with UserError.",
    why="Distillers send the student's features through the rest of the teacher, which must be the teacher's.",
    fix="Run exactly the layers after the place of the map, on the model's own modules, and turn the map into their "
    "layout first.",
)
def tail(subject: AdapterSubject) -> None:
    model, images, adapter = subject.model().requires_grad_(False), subject.images(), subject.adapter()
    if not isinstance(adapter, GivesTail):
        skip("it has no method 'tail'")
    whole = adapter.forward(model, images, subject.numbers, False)
    for stage in subject.numbers:
        given = mapped(whole, lambda value: value.detach().clone().requires_grad_()).features[stage]
        try:
            rest = adapter.tail(model, stage)  # type: ignore[arg-type]
        except UserError as refused:
            skip(f"it refuses: {refused}")
        logits = logits_in(rest(given))
        require_equal({"logits": logits}, {"logits": logits_in(whole)}, f"the layers after stage {stage}")
        logits.square().sum().backward()  # type: ignore[no-untyped-call]
        tensors = [given.map] if given.prefix is None else [given.map, given.prefix]
        if not any(tensor.grad is not None and tensor.grad.any() for tensor in tensors):
            raise Violation(f"no gradient reaches the map of stage {stage}")


def _check_order(announced: Sequence[StageInfo]) -> None:
    numbers = [info.stage for info in announced]
    if any(number not in range(1, 5) for number in numbers) or numbers != sorted(set(numbers), key=str):
        raise Violation(f"the stages are {numbers}; they must be 1 to 4, or some of them, in this order")
    sizes = [info.grid[0] * info.grid[1] for info in announced]
    if sizes != sorted(sizes, reverse=True):
        raise Violation(f"the grids grow with depth: {[info.grid for info in announced]}")


def _check_shape(info: StageInfo, output: ModelOutput, samples: int, size: Size) -> None:
    feature = output.features.get(info.stage)
    if feature is None:
        raise Violation(f"it announces stage {info.stage} but gives {list(output.features)}")
    wanted = (samples, info.channels, *info.grid)
    where = f"for images of {size[0]}x{size[1]}, stage {info.stage}"
    if tuple(feature.map.shape) != wanted:
        raise Violation(f"{where} has shape {list(feature.map.shape)}, but {list(wanted)} is announced")
    prefix = 0 if feature.prefix is None else feature.prefix.shape[1]
    if prefix != info.prefix_tokens:
        raise Violation(f"{where} has {prefix} prefix tokens, but {info.prefix_tokens} are announced")
    if feature.prefix is not None and tuple(feature.prefix.shape) != (samples, prefix, info.channels):
        raise Violation(f"{where} has a prefix of shape {list(feature.prefix.shape)}")
