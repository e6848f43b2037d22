"""`evaluate`: measure a run, a checkpoint or a model on the images of a split, and compare it with its teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kd_report import measures
from kd_report.eval.metrics import usable_metrics
from kd_report.eval.open_target import open_target
from kd_report.eval.request import EvalRequest, ImageChoice, ModelChoice
from kd_report.eval.result import EvalResult, ModelScores, scored, scored_labels
from kd_report.eval.speed import Racer, Speed, machine, measure
from kdcore import Problem, UserError
from kdcore.inspect import cost, has_label, own_surroundings, predict
from kdcore.ops import mean_logits
from kdcore.plugin import dataset_name, get_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kd_report.eval.opened import Opened
    from kdcore import OpenedModel, Predictions
    from kdcore.inspect import Which
    from kdcore.plugin import Plugins

BATCH_SIZES = (1, 8, 64)


@own_surroundings("kd_report.evaluate")
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
    table_options: Mapping[str, Any] | None = None,
    image_size: int | tuple[int, int] | None = None,
    teacher: str | Path | bool = True,
    samples: int | None = None,
    top_k: Sequence[int] = (),
    batch_sizes: Sequence[int] = BATCH_SIZES,
    device: str | torch.device | None = None,
) -> EvalResult:
    """Measure accuracy, calibration, agreement with the teacher, size and speed.

    Args:
        target: a run directory, a checkpoint file (with `model`), a student's folder, the folder of an export, or the
            name of a model. An export runs its own `load.py`.
        weights: of a run: those of the last epoch, their average ('ema') or those of the best epoch.
        model: the name of the model, if `target` is a checkpoint file.
        pretrained: timm's weights for the model that `target` names.
        checkpoint: other weights for this model.
        small_input: take the model's variant for small images.
        options: arguments of the model's constructor.
        data: a dataset as `data.dataset` in a spec; None: the run's own.
        root: the folder of the dataset, as `data.root`.
        split: a split of the dataset; None: the run's evaluation split, or 'test'.
        table_options: if `data` is a table: as `data.options`, such as `{"encoding": "cp1252"}`.
        image_size: side of the input in pixels, or (height, width); not for a run.
        teacher: a run directory or the name of a pretrained model; True: the run's own; False: none.
        samples: the largest number of images, balanced over the classes if these are known.
        top_k: more values of k for top-k accuracy than 1, 5 and those of the run's spec.
        batch_sizes: for the speed; empty: the speed is not measured.
        device: None: the accelerator if there is one.

    Raises:
        UserError: there is no such target, split or teacher, or they do not fit each other.
        RunFailed: an image cannot be read, or weights cannot be downloaded.
    """
    if any(size < 1 for size in batch_sizes):
        raise UserError(Problem("--batch-sizes", "a batch has at least one image", list(batch_sizes)))
    request = EvalRequest(
        target=str(target),
        weights=weights,
        model=ModelChoice(
            name=model,
            pretrained=pretrained,
            checkpoint=None if checkpoint is None else str(checkpoint),
            small_input=small_input,
            options=dict(options or {}),
            image_size=image_size,
        ),
        images=ImageChoice(
            dataset=data,
            root=None if root is None else str(root),
            split=split,
            samples=samples,
            table_options=dict(table_options or {}),
        ),
        teacher=str(teacher) if isinstance(teacher, Path) else teacher,
        device=None if device is None else str(device),
        top_k=tuple(top_k),
    )
    plugins = get_plugins()
    return measure_all(request, open_target(request, _device(device), plugins), batch_sizes, plugins)


def measure_all(
    request: EvalRequest, opened: Opened, batch_sizes: Sequence[int], plugins: Plugins
) -> EvalResult:
    """All measures of what was opened for a request.

    Raises:
        UserError: a model's logits are NaN or infinite.
        RunFailed: an image cannot be read.
    """
    images, setting, models = opened.images, opened.setting, opened.models
    seen = predict(
        opened.predictors,
        images.batches,
        device=setting.device,
        precision=setting.precision,
        channels_last=setting.channels_last,
        limit=request.images.samples,
    )
    for each, predictions in zip(opened.predictors, seen, strict=True):
        _check_finite(each, predictions, "TARGET" if each is opened.student else "--teacher")
    found = seen[: len(models)]
    if opened.teacher.members:
        found = [seen[0], replace(seen[1], logits=mean_logits([one.logits for one in seen[1:]]))]
    warnings: list[str] = []
    metrics = usable_metrics(opened.metrics, plugins, warnings.append)
    values = [metrics(predictions.logits, predictions.target) for predictions in found]
    speeds = _speeds(opened, batch_sizes, warnings)
    scores = [
        _scores(opened, each, predictions, value, speed)
        for each, predictions, value, speed in zip(models, found, values, speeds, strict=True)
    ]
    both = [predictions.logits for predictions in found]
    several = found[0].target.dim() == 2  # labels an image
    agreement = divergence = None
    if len(both) > 1:
        agreement = (measures.label_agreement if several else measures.agreement)(*both)
    if len(both) > 1 and len(both[0]) and not several:
        divergence = measures.divergence(*both).mean().item()
    return EvalResult(
        target=request.target,
        weights=opened.weights,
        dataset=dataset_name(images.dataset),
        split=images.split,
        images=len(found[0]),
        labelled=int(has_label(found[0].target).sum()),
        student=scores[0],
        teacher=scores[1] if len(scores) > 1 else None,
        teacher_missing=opened.teacher.missing,
        teachers=_members(opened, seen),
        agreement=agreement,
        divergence=divergence,
        machine=machine(setting.device),
        precision=setting.precision,
        warnings=(*opened.warnings, *images.left_out(), *warnings),
    )


def _members(opened: Opened, seen: Sequence[Predictions]) -> dict[str, ModelScores]:
    """The measures of each of several teachers, without speed and metrics."""
    return {
        name: _scores(opened, model, predictions, {}, ())
        for (name, model), predictions in zip(opened.teacher.members.items(), seen[1:], strict=False)
    }


def _check_finite(each: OpenedModel, found: Predictions, where: str) -> None:
    """Raises UserError for logits that are NaN or infinite: no measure of such logits has a meaning."""
    wrong = int((~found.logits.isfinite().all(dim=1)).sum()) if found.logits.numel() else 0
    if wrong:
        weights = each.model.state_dict()
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
            else "check that its input is normalised as in its training"
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


def _speeds(opened: Opened, batch_sizes: Sequence[int], warnings: list[str]) -> list[list[Speed]]:
    setting = opened.setting
    racers = [Racer(each.model, _shape(each)) for each in opened.models]
    speeds: list[list[Speed]] = [[] for _ in racers]
    for size in batch_sizes:
        try:
            taken = measure(
                racers,
                size,
                setting.device,
                precision=setting.precision,
                channels_last=setting.channels_last,
            )
        except torch.OutOfMemoryError:
            warnings.append(f"batches of {size} do not fit the device's memory: not measured")
            continue
        for own, speed in zip(speeds, taken, strict=True):
            own.append(speed)
    return speeds


def _scores(
    opened: Opened,
    each: OpenedModel,
    found: Predictions,
    metrics: dict[str, float | None],
    speed: Sequence[Speed],
) -> ModelScores:
    model = each.model
    counted = cost(model, (1, *_shape(each)))
    return ModelScores(
        name=each.name,
        parameters=each.parameters,
        macs=None if counted is None else counted.macs,
        weights_bytes=each.weights_bytes,
        image_size=each.input.image_size,
        speed=tuple(speed),
        metrics=metrics,
        **_measured(opened, each, found),
    )


def _measured(opened: Opened, each: OpenedModel, found: Predictions) -> dict[str, Any]:
    if found.target.dim() == 1:
        return scored(found, opened.classes, opened.top_k)
    return scored_labels(found, opened.classes, opened.thresholds if each is opened.student else None)


def _shape(each: OpenedModel) -> tuple[int, int, int]:
    return (len(each.input.mean), *each.input.image_size)
