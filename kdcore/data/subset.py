"""`train_samples` and `eval_samples`: the first N of one seeded, class-balanced draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kdcore.data.keyed_randomness import SUBSET, keyed_numbers
from kdcore.data.special_targets import UNLABELLED, has_label
from kdcore.errors import Problem, UserError, shown

if TYPE_CHECKING:
    from kdcore.data.draws import Positions
    from kdcore.data.source import Source


def balanced_draw(labels: Positions, seed: int) -> Positions:
    """All positions `[N]` in the order of the draw.

    It goes in rounds: each round takes one sample of every class that has samples left, with the classes in random
    order. So the first n samples do not depend on the number of samples, and the class counts differ by at most one
    until a class runs out.
    """
    size = len(labels)
    numbers = keyed_numbers(2 * size, SUBSET, seed)
    within, between = numbers[:size], numbers[size:]
    by_class = np.lexsort((within, labels))
    sizes = np.unique(labels, return_counts=True)[1]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rounds = np.empty(size, dtype=np.int64)
    rounds[by_class] = np.arange(size) - starts
    return np.lexsort((between, rounds))


def choose_samples(
    source: Source, wanted: int | None, seed: int, where: str = "data.train_samples"
) -> Positions | None:
    """Positions in the source of the samples to use, in the order of the draw; None: all of them.

    Raises:
        UserError: there are too few samples, only some of them have a label, or the dataset is a stream.
        RunFailed: the labels can only be found by reading the images, and one cannot be read.
    """
    if wanted is None:
        return None
    if source.stream:
        raise UserError(Problem(where, "a stream has no subsets: its samples have no index", value=wanted))
    if wanted > len(source):
        kind = "training" if where == "data.train_samples" else "evaluation"
        message = f"there are only {len(source)} {kind} images"
        raise UserError(Problem(where, message, wanted, f"1 to {len(source)}"))
    labels = known_labels(source)
    if some_labels(labels):
        message = f"{labelled_of(labels)}, and samples are drawn balanced over the classes"
        hint = "leave it out, and name the images to use in a table"
        raise UserError(Problem(where, message, wanted, "null", hint=hint))
    return balanced_draw(draw_labels(source), seed)[:wanted]


def draw_labels(source: Source) -> Positions:
    """The labels `[N]` by which samples are drawn; with several labels an image all are equal."""
    labels: Positions = known_labels(source).numpy()
    return labels if source.label_sets is None else np.minimum(labels, 0)


def known_labels(source: Source) -> torch.Tensor:
    """The labels `[N]`; if the source does not know them in advance, all images are read to find them."""
    if source.labels is not None:
        return source.labels
    return torch.tensor(source.read_labels(), dtype=torch.int64)


def some_labels(labels: torch.Tensor | None) -> bool:
    """Whether only some of the labels `[N]` are classes; False if they are not known."""
    return labels is not None and 0 < int(has_label(labels).sum()) < len(labels)


def labelled_of(labels: torch.Tensor | None, kind: str = "training") -> str:
    """How many of the images have a label, as the start of a message."""
    assert labels is not None
    return f"only {int(has_label(labels).sum()):,} of {len(labels):,} {kind} images have a label"


def check_labels(labels: torch.Tensor, num_classes: int) -> None:
    """Raise UserError if a class index is K or more, or below -1."""
    wrong = labels[(labels >= num_classes) | (labels < UNLABELLED)].unique().tolist()  # type: ignore[no-untyped-call]
    if wrong:
        message = (
            f"with {num_classes} classes, class indices go to {num_classes - 1}; the data has {shown(wrong)}"
        )
        raise UserError(Problem("data.num_classes", message))
