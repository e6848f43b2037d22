"""A warning about images that are in two splits of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.data.duplicates import Shared, shared_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.data import Source
    from kdcore.distill.splits import Splits


def shared_image_notes(splits: Splits) -> tuple[str, ...]:
    """A line for each two splits that have images in common; files are read for it, at most some thousands."""
    return tuple(
        _note(found, role, other, other_role, shared)
        for (found, role), (other, other_role) in _pairs(splits)
        if (shared := shared_images(found, other)) is not None and shared.pairs
    )


def _pairs(splits: Splits) -> Iterator[tuple[tuple[Source, str], tuple[Source, str]]]:
    train, evaluation = (splits.train, "training"), (splits.eval, "evaluation")
    if splits.eval is not splits.train:
        yield evaluation, train
    if splits.test is not None:
        yield (splits.test, "test"), train
        if splits.eval is not splits.train:
            yield (splits.test, "test"), evaluation


def _note(found: Source, role: str, other: Source, other_role: str, shared: Shared) -> str:
    here, there = shared.pairs[0]
    count = f"{len(shared.pairs):,} of {shared.compared:,}"
    if shared.compared < len(found):
        count += " compared"
    first = f"{found.short_name(here)} is {other.short_name(there)}"
    trained = other_role == "training"
    result = "scores on them are too high" if trained else "the test is not independent of the evaluation"
    return (
        f"data: {count} {role} images ('{found.split}') are {other_role} images ('{other.split}') too, by their "
        f"content: {result}. The first: {first}"
    )
