"""`evaluate`: a run, a checkpoint or a model on the images of a split, beside its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kdcore.commands.eval.cost import cost
from kdcore.commands.eval.result import EvalResult, ModelScores, scored
from kdcore.commands.eval.speed import Racer, Speed, machine, measure
from kdcore.commands.eval.subjects import Wanted, open_wanted
from kdcore.commands.export.about import dataset_name
from kdcore.data.special_targets import has_label
from kdcore.errors import Problem, UserError
from kdcore.inspect import measures
from kdcore.inspect.predictions import predict
from kdcore.plugins import get_plugins
from kdcore.run.caller_state import own_surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kdcore.commands.eval.subjects import Opened
    from kdcore.inspect.open_run import OpenedModel, Which
    from kdcore.inspect.predictions import Predictions

BATCH_SIZES = (1, 8, 64)


@own_surroundings("kdcore.evaluate")
def evaluate(
    target: str | Path,
    *,
    weights: Which = "last",
    model: str | None = None,
    pretrained: bool = False,
    checkpoint: str | Path | None = None,
    small_input: bool = False,
    options: Mapping[str, Any] | None = None,
    data: str | None = None,
    root: str | Path | None = None,
    split: str | None = None,
    image_size: int | None = None,
    teacher: str | Path | bool = True,
    samples: int | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    device: str | torch.device | None = None,
) -> EvalResult:
    """Measure accuracy, calibration, agreement with the teacher, size and speed.

    Args:
        target: a run directory, a checkpoint file (with `model`), a student's folder, or the name of a model.
        weights: of a run: the last ones, their average ('ema') or the best epoch's.
        model: whose weights a checkpoint file holds.
        pretrained: timm's weights for the model that `target` names.
        checkpoint: other weights for it.
        small_input: its variant for small images.
        options: arguments of its constructor.
        data: a dataset as `data.dataset` in a spec; None: the run's own.
        root: where it lies, as `data.root`.
        split: of it; None: the run's evaluation split, or 'test'.
        image_size: side of the input of a model that is no run's.
        teacher: a run directory or the name of a pretrained model; True: the run's own; False: none.
        samples: look at so many images only, balanced over the classes where these are known.
        batch_sizes: for the speed; empty: it is not measured.
        device: None: the accelerator if there is one.

    Raises:
        UserError: there is no such target, split or teacher, or they do not fit each other.
        RunFailed: an image cannot be read, or weights cannot be downloaded.
    """
    if any(size < 1 for size in batch_sizes):
        raise UserError(Problem("--batch-sizes", "batches have one image at least", list(batch_sizes)))
    wanted = Wanted(
        str(target),
        weights,
        model,
        pretrained,
        None if checkpoint is None else str(checkpoint),
        small_input,
        dict(options or {}),
        data,
        None if root is None else str(root),
        split,
        image_size,
        str(teacher) if isinstance(teacher, Path) else teacher,
        samples,
    )
    opened = open_wanted(wanted, _device(device), get_plugins())
    models = [opened.student] + ([] if opened.teacher is None else [opened.teacher])
    found = predict(
        [each.subject for each in models],
        opened.images,
        device=opened.device,
        precision=opened.precision,
        channels_last=opened.channels_last,
        limit=samples,
    )
    for each, predictions in zip(models, found, strict=True):
        _check_finite(each, predictions, "--teacher" if each is opened.teacher else "TARGET")
    speeds, warnings = _speeds(opened, models, batch_sizes)
    scores = [
        _scores(each, predictions, speed, opened.channels)
        for each, predictions, speed in zip(models, found, speeds, strict=True)
    ]
    both = [predictions.logits for predictions in found]
    divergence = measures.divergence(*both).mean().item() if len(both) > 1 and len(both[0]) else None
    return EvalResult(
        target=str(target),
        weights=opened.weights,
        dataset=dataset_name(opened.dataset),
        split=opened.split,
        images=len(found[0]),
        labelled=int(has_label(found[0].target).sum()),
        student=scores[0],
        teacher=scores[1] if len(scores) > 1 else None,
        teacher_missing=opened.teacher_missing,
        agreement=measures.agreement(*both) if len(both) > 1 else None,
        divergence=divergence,
        machine=machine(opened.device),
        precision=opened.precision,
        warnings=opened.warnings + warnings,
    )


def _check_finite(each: OpenedModel, found: Predictions, where: str) -> None:
    """Raises UserError for logits that are NaN or infinite: no measure of them means anything."""
    wrong = int((~found.logits.isfinite().all(dim=1)).sum()) if found.logits.numel() else 0
    if wrong:
        weights = each.subject.model.state_dict()
        bad = [
            name
            for name, value in weights.items()
            if value.is_floating_point() and not value.isfinite().all()
        ]
        cause = f": its weight {bad[0]} is NaN or infinite" if bad else ""
        message = f"its logits are NaN or infinite for {wrong:,} of {len(found):,} images{cause}"
        hint = (
            "take weights from before its training failed"
            if bad
            else "is its input normalised as it learned?"
        )
        raise UserError(Problem(where, message, value=each.name, hint=hint))


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        best = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return best or torch.device("cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:  # no such device, or torch was built without it
        cause = str(error).splitlines()[0]
        raise UserError(Problem("--device", f"cannot be used: {cause}", str(device))) from error
    return place


def _speeds(
    opened: Opened, models: Sequence[OpenedModel], batch_sizes: Sequence[int]
) -> tuple[list[list[Speed]], tuple[str, ...]]:
    racers = [Racer(each.subject.model, _shape(each, opened.channels)) for each in models]
    speeds: list[list[Speed]] = [[] for _ in models]
    warnings: tuple[str, ...] = ()
    for size in batch_sizes:
        try:
            taken = measure(
                racers,
                size,
                opened.device,
                precision=opened.precision,
                channels_last=opened.channels_last,
            )
        except torch.OutOfMemoryError:
            warnings += (f"batches of {size} do not fit the device's memory: not measured",)
            continue
        for own, speed in zip(speeds, taken, strict=True):
            own.append(speed)
    return speeds, warnings


def _scores(each: OpenedModel, found: Predictions, speed: Sequence[Speed], channels: int) -> ModelScores:
    model = each.subject.model
    counted = cost(model, (1, *_shape(each, channels)))
    held = [*model.parameters(), *model.buffers()]
    return ModelScores(
        name=each.name,
        parameters=each.parameters,
        macs=None if counted is None else counted.macs,
        weights_bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
        image_size=each.input.image_size,
        speed=tuple(speed),
        **scored(found),
    )


def _shape(each: OpenedModel, channels: int) -> tuple[int, int, int]:
    return (channels, *each.input.image_size)
