"""What an encoder is measured by: k-NN and linear-probe accuracy, and the neighbours shared with its teacher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.data.special_targets import has_label
from kdcore.data.subset import balanced_draw
from kdcore.inspect.linear_probe import fit_probe
from kdcore.inspect.neighbours import knn_classify, nearest_neighbours, shared_neighbours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_MOST: Final = 10_000  # images whose neighbours are compared


@dataclass(frozen=True)
class Embedded:
    """Images as a model sees them.

    Attributes:
        embeddings: `[N, D]`, float32.
        target: class indices `[N]`, `UNLABELLED` for an image without a label.
    """

    embeddings: Tensor
    target: Tensor


@dataclass(frozen=True)
class EncoderEvaluation:
    """The measures of an encoder, in percent.

    Attributes:
        knn_top1: labelled images whose class the weighted vote of their 20 nearest neighbours in the gallery finds;
            None without labels of two classes or more.
        neighbour_agreement: the share of the 20 nearest neighbours among the evaluation images that are the teacher's
            too; with several teachers the mean over them; None without a teacher that gives an embedding.
        neighbour_agreements: the same for each of several teachers, by name.
        probe_top1: labelled images whose class a linear classifier on the embeddings finds; None if not measured.
        predictions: the nearest neighbours `[N, k]` of the evaluation images, to which the student's are compared.
    """

    knn_top1: float | None
    neighbour_agreement: float | None
    neighbour_agreements: dict[str, float] = field(default_factory=dict)
    probe_top1: float | None = None
    predictions: Tensor | None = None

    @property
    def ranking(self) -> dict[str, float | None]:
        """The scores that choose the best epoch: the first that was measured decides."""
        return {"knn_top1": self.knn_top1, "neighbour_agreement": self.neighbour_agreement}

    def as_dict(self) -> dict[str, Any]:
        """The measures that were made, by name."""
        values = {
            "knn_top1": self.knn_top1,
            "neighbour_agreement": self.neighbour_agreement,
            "neighbour_agreements": self.neighbour_agreements or None,
            "probe_top1": self.probe_top1,
        }
        return {name: value for name, value in values.items() if value is not None}


def measure_embeddings(
    queries: Embedded,
    gallery: Embedded | None,
    num_classes: int,
    *,
    teachers: Mapping[str, Tensor] | None = None,
    probe: bool = False,
) -> EncoderEvaluation:
    """Measure an encoder.

    The labelled images of the gallery answer for those of the evaluation. Without a gallery, one half of the labelled
    evaluation images, drawn evenly over the classes and always the same, answers for the other half.

    Args:
        queries: the evaluation images.
        gallery: labelled training images, or None.
        num_classes: K; below 2 there is no accuracy to measure.
        teachers: the nearest neighbours of each teacher, as the `predictions` of its own evaluation, by name.
        probe: whether to fit a linear probe to the gallery.
    """
    found = nearest_neighbours(_some(queries.embeddings)) if len(queries.embeddings) > 1 else None
    agreements: dict[str, float] = {}
    if found is not None:
        for name, neighbours in (teachers or {}).items():
            agreements[name] = 100 * shared_neighbours(neighbours.to(found.device), found)
    knn = probed = None
    pair = _labelled_pair(queries, gallery) if num_classes > 1 else None
    if pair is not None:
        asked, known = pair
        knn = _accuracy(
            knn_classify(asked.embeddings, known.embeddings, known.target, num_classes), asked.target
        )
        if probe and len(known.target) > 1:
            fitted = fit_probe(known.embeddings, known.target, num_classes)
            probed = _accuracy(fitted(asked.embeddings), asked.target)
    return EncoderEvaluation(
        knn_top1=knn,
        neighbour_agreement=sum(agreements.values()) / len(agreements) if agreements else None,
        neighbour_agreements=agreements if len(agreements) > 1 else {},
        probe_top1=probed,
        predictions=None if found is None else found.cpu(),
    )


def _labelled_pair(queries: Embedded, gallery: Embedded | None) -> tuple[Embedded, Embedded] | None:
    """The images that ask for their class, and those that know it."""
    asked = _with_label(queries)
    if gallery is not None:
        known = _with_label(gallery)
        return (asked, known) if len(asked.target) and len(known.target) else None
    if len(asked.target) < 2:
        return None
    order = torch.from_numpy(balanced_draw(asked.target.cpu().numpy(), 0)).to(asked.target.device)
    half = len(order) // 2
    return _at(asked, order[half:]), _at(asked, order[:half])


def _with_label(images: Embedded) -> Embedded:
    return _at(images, has_label(images.target))


def _at(images: Embedded, chosen: Tensor) -> Embedded:
    return Embedded(images.embeddings[chosen], images.target[chosen])


def _some(embeddings: Tensor) -> Tensor:
    """All rows, or the largest number of them that is compared, evenly spaced."""
    if len(embeddings) <= _MOST:
        return embeddings
    rows = torch.linspace(0, len(embeddings) - 1, _MOST, dtype=torch.float64).round().long()
    return embeddings[rows.to(embeddings.device)]


def _accuracy(predicted: Tensor, target: Tensor) -> float:
    return 100 * int((predicted == target).sum()) / len(target)
