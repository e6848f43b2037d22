"""From `data.sampling` and `data.labelled_fraction` to how the samples of an epoch are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kdcore.data.draws import Draw, Pool
from kdcore.data.special_targets import has_label
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from kdcore.data.draws import Positions
    from kdcore.data.training_set import TrainingSet
    from kdcore.spec.models import DataSpec


def refuse_stream(data: DataSpec) -> None:
    """Raises UserError if a stream is to be sampled by something that is not known before it is read."""
    what = {"balanced": "the classes", "weights": "weights"}.get(data.sampling)
    if what is not None:
        message = f"{what} of a stream are not known before it is read"
        raise UserError(Problem("data.sampling", message, data.sampling, "shuffled"))
    if data.labelled_fraction is not None:
        message = "which images of a stream have a label is not known before it is read"
        raise UserError(Problem("data.labelled_fraction", message, data.labelled_fraction, "null"))


def choose_draw(chosen: TrainingSet, data: DataSpec, batch_size: int) -> Draw | None:
    """How the samples of an epoch are drawn; None: each once, shuffled.

    Raises:
        UserError: there are no weights or classes to draw by, or not both labelled and unlabelled images.
    """
    per_batch = _labelled_per_batch(chosen, data, batch_size)
    if data.sampling == "shuffled" and per_batch is None:
        return None
    classes = _classes(chosen) if data.sampling == "balanced" else None
    weights = _weights(chosen) if data.sampling == "weights" else None
    everything = np.arange(chosen.size, dtype=np.int64)
    if not chosen.some_labels or (per_batch is None and weights is not None):
        return Draw(Pool(everything, classes, weights))
    assert chosen.labels is not None
    known = has_label(chosen.labels).numpy()
    labelled, others = everything[known], everything[~known]
    of_weights = (None, None) if weights is None else (weights[known], weights[~known])
    for part, kind in zip(of_weights, ("labelled images", "images without a label"), strict=True):
        if part is not None and not part.any():
            raise UserError(Problem("data.sampling", f"the weights of all {kind} are 0", data.sampling))
    return Draw(
        Pool(labelled, None if classes is None else classes[known], of_weights[0]),
        Pool(others, None, of_weights[1]),
        per_batch,
    )


def _labelled_per_batch(chosen: TrainingSet, data: DataSpec, batch_size: int) -> int | None:
    fraction = data.labelled_fraction
    if fraction is None:
        return None
    where = "data.labelled_fraction"
    if not chosen.some_labels:
        which = "none" if chosen.labels is not None and not has_label(chosen.labels).any() else "each"
        message = f"it is for training images of which only some have a label, and {which} of these has one"
        raise UserError(Problem(where, message, fraction, "null"))
    count = int(np.floor(fraction * batch_size + 0.5))
    if not 0 < count < batch_size:
        which = "none" if count == 0 else "all"
        message = f"of a batch of {batch_size} images {which} would have a label"
        hint = "change it, or train.batch_size"
        raise UserError(
            Problem(where, message, fraction, f"{1 / batch_size:.3g} to {1 - 1 / batch_size:.3g}", hint=hint)
        )
    return count


def _classes(chosen: TrainingSet) -> Positions:
    """The class of each training image."""
    if chosen.labels is None or not has_label(chosen.labels).any():
        message = "the classes of the training images are not known before they are read"
        if chosen.labels is not None:
            message = "the training images have no classes"
        raise UserError(Problem("data.sampling", message, "balanced", "shuffled"))
    found: Positions = chosen.labels.numpy()
    return found


def _weights(chosen: TrainingSet) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if chosen.weights is None:
        message = "the training images have no weights"
        hint = "a table has them in its column 'weight', a plugin's dataset in its attribute 'weights'"
        raise UserError(Problem("data.sampling", message, "weights", "shuffled", hint=hint))
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = chosen.weights.double().numpy()
    if not (np.isfinite(found) & (found >= 0)).all() or not found.any():
        message = "the weights of training images must be finite numbers, 0 or more, and one above 0"
        raise UserError(Problem("data.sampling", message, "weights", "shuffled"))
    return found
