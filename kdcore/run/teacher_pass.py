"""The pass of the teacher over the training set before the first step, for distillers that prepare from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import torch

from kdcore.data.special_targets import has_label
from kdcore.distill.gather import WholeBatch
from kdcore.distill.some_labels import batch_rows, taught_rows
from kdcore.protocols import Batch, PreparesFromTeacher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.data.train import IndexedTrainData
    from kdcore.protocols import Distiller, ModelOutput, Requires
    from kdcore.run.loop import Training

    Taught = ModelOutput | dict[str, ModelOutput]

BATCH: Final = 256  # most samples of a process at once: without gradients this fits if training does


def prepare_distillers(training: Training) -> None:
    """Call `prepare` of each distiller that has it, once per run.

    A resumed run does not call it again: what a distiller keeps is in its buffers, which the checkpoint has.

    Raises:
        Interrupted: the run was asked to stop; the next start begins again.
    """
    state, distillation = training.state, training.distillation
    if (state.epoch, state.batch, state.step) != (0, 0, 0):
        return
    for name, distiller in zip(distillation.names, distillation.distillers, strict=True):
        if isinstance(distiller, PreparesFromTeacher):
            training.context.display.note(f"{name}: looks at the teacher's outputs for all training images")
            with torch.no_grad():
                distiller.prepare(_outputs(training, name, cast("Distiller", distiller).requires))


def _outputs(training: Training, name: str, requires: Requires) -> Iterator[tuple[Taught, Batch]]:
    """What a distiller reads of teachers for every sample once, in the order of the positions, on every process.

    Each process computes its share and gets those of the others; all compute the last samples, if they do not make
    equal shares.
    """
    accelerator = training.accelerator
    rank, world, count = accelerator.process_index, accelerator.num_processes, training.train_data.size
    step = BATCH * world
    whole = count - count % step
    for start in range(0, whole, step):
        mine = range(start + rank * BATCH, start + (rank + 1) * BATCH)
        yield from _shown(requires, *WholeBatch().of_teacher(requires, *_computed(training, name, mine)))
    if whole < count:
        output, batch = _computed(training, name, range(whole, count))
        yield from _shown(requires, *WholeBatch(alone=True).of_teacher(requires, output, batch))


def _shown(requires: Requires, taught: Taught, batch: Batch) -> Iterator[tuple[Taught, Batch]]:
    """What the distiller sees of a batch: all samples, or those with a label, if there are any."""
    if batch.labelled is None or not requires.skips_unlabelled:
        yield taught, batch
        return
    rows = batch.labelled.nonzero().flatten()
    if len(rows):
        seen = taught_rows(taught, rows)
        assert seen is not None
        yield seen, batch_rows(batch, rows)


def _computed(training: Training, name: str, positions: range) -> tuple[Taught, Batch]:
    (raw,) = cast("IndexedTrainData", training.train_data).given([[(0, position) for position in positions]])
    device = training.accelerator.device
    assert raw.index is not None
    images = raw.images.to(device, non_blocking=True)
    if training.cached_teachers is not None:
        outputs = {of: one(0, images, raw.index) for of, one in training.cached_teachers.items()}
    else:
        with training.accelerator.autocast():
            outputs = training.distillation.forward_teachers(images)
    training.stop_between_batches()
    target = None if raw.target is None else raw.target.to(device)
    first = images if images.dim() == 4 else images[:, 0]
    seen = training.distillation.seen_by(name, outputs)
    assert seen is not None
    labelled = None
    if target is not None and training.distillation.some_labels:
        labelled = has_label(target)
    return seen, Batch(first, target, raw.index.to(device), labelled)
