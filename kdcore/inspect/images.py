"""The images that a run is evaluated on: all of them, those to look at, and these in batches for a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdcore.data import build_eval_data
from kdcore.data.chosen_samples import ChosenSource, at_most
from kdcore.data.evaluate import WithoutLabels, eval_batch_size
from kdcore.data.subset import choose_samples

if TYPE_CHECKING:
    import torch

    from kdcore.data import EvalData, Source
    from kdcore.data.inputs import InputConfig
    from kdcore.inspect.students import OpenedStudent
    from kdcore.spec.models import DataSpec, RunSpec


@dataclass(frozen=True, kw_only=True)
class EvaluationImages:
    """Images of a run.

    Attributes:
        whole: all images that the run was evaluated on, not decoded.
        chosen: those of them to look at.
        batches: the chosen ones in batches, for the student.
    """

    whole: Source
    chosen: Source
    batches: EvalData

    @classmethod
    def of(
        cls, source: Source, spec: RunSpec, student: OpenedStudent, most: int | None, device: torch.device
    ) -> EvaluationImages:
        """At most `most` images of a split, as a run with this spec uses them."""
        whole = evaluation_images(source, spec.data)
        chosen = at_most(whole, most)
        batches = evaluation_data(chosen, spec, student.images, student.num_classes, device)
        return cls(whole=whole, chosen=chosen, batches=batches)


def evaluation_images(source: Source, data: DataSpec, most: int | None = None) -> Source:
    """The images of a split that a run with this data is evaluated on, in the run's order; at most `most` of them.

    A stream is returned whole.
    """
    if source.stream:
        return source
    positions = choose_samples(source, data.eval_samples, 0, "data.eval_samples")
    return at_most(source if positions is None else ChosenSource(source, positions), most)


def evaluation_data(
    images: Source, spec: RunSpec, taken: InputConfig, num_classes: int, device: torch.device
) -> EvalData:
    """Images in batches for a model with the input `taken`; without labels if the run has no evaluation split."""
    batches = build_eval_data(
        images,
        spec.data.model_copy(update={"eval_samples": None, "in_memory": False}),  # they are read once
        taken,
        batch_size=eval_batch_size(spec.train.batch_size),
        num_classes=num_classes or None,  # an encoder knows none
        device=device,
    )
    return WithoutLabels(batches) if spec.data.eval_split is None else batches
