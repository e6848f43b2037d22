"""What is in the images of a run: classes, sizes, modes, broken and repeated files, mean and deviation."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from kdcore.data import open_split
from kdcore.data.duplicates import repeated_images, shared_images
from kdcore.data.modes import UnknownRange
from kdcore.data.pixels import PixelRule, mode_of, size_of
from kdcore.data.unlabelled import with_unlabelled
from kdcore.errors import Problem, RunFailed, UserError
from kdcore.inspect.pixel_moments import Moments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kdcore.data import Source
    from kdcore.data.pixels import Decoded
    from kdcore.plugins import Plugins
    from kdcore.spec.models import DataSpec

LOOKED_AT: Final = 1000
"""The number of images of a split that are decoded by default."""
_THREADS: Final = 4
_BLOCK: Final = 64
_UPRIGHT: Final = 1
_TURNED: Final = range(2, 9)  # EXIF's orientations that turn or mirror the image


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """One split.

    Attributes:
        role: `train`, `eval` or `test`.
        name: the split's name on disk.
        images: their number.
        labelled: how many have a class.
        classes: the number of images of each class, by its name or index.
        looked_at: how many images were decoded for what follows.
        sizes: how often each size occurs, as `HEIGHTxWIDTH`, the most frequent first.
        modes: how often each mode of Pillow occurs, or number format and channels of an array.
        turned: how many have an EXIF orientation that turns or mirrors them, which is not applied.
        broken: the name of each image that cannot be used, and why.
        repeated: images with the same content as an earlier one, with the name of that one.
        notes: what is left out, one line each.
    """

    role: str
    name: str
    images: int
    labelled: int
    classes: dict[str, int]
    looked_at: int
    sizes: dict[str, int]
    modes: dict[str, int]
    turned: int
    broken: dict[str, str]
    repeated: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The images of a run.

    Attributes:
        dataset: as the spec names it.
        splits: those that the spec names.
        shared: for each two splits, such as `eval, train`, the images that are in both, by their names.
        mean: the mean of each channel over the training images, from 0 to 1; None: not measured.
        std: the deviation of each channel; None: not measured.
    """

    dataset: str
    splits: tuple[SplitFacts, ...]
    shared: dict[str, dict[str, str]] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def data_facts(
    data: DataSpec,
    plugins: Plugins,
    *,
    most: int | None = LOOKED_AT,
    stats: bool = False,
    labels: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> DataFacts:
    """Look at the images that a spec names; those of `data.unlabelled` are training images.

    Args:
        data: the section of a loaded spec.
        plugins: where the dataset is looked up.
        most: the largest number of images of a split to decode, evenly spaced; None: all.
        stats: whether to measure mean and deviation of the training images; that decodes all of them.
        labels: whether labels are read; a run with `task.kind: "none"` does not.
        advance: called after each image.

    Raises:
        UserError: a split is missing or is a stream, or `data.unlabelled` cannot be listed.
    """
    sources = {"train": data.train_split, "eval": data.eval_split, "test": data.test_split}
    opened = {
        role: _open(data, split, role, plugins, labels)
        for role, split in sources.items()
        if split is not None
    }
    measured = [source for role, source in opened.items() if role != "train"]
    opened["train"] = with_unlabelled(opened["train"], measured, data)
    rule = PixelRule.of(data)
    moments = Moments(rule) if stats else None
    splits = []
    for role, source in opened.items():
        train = role == "train"
        splits.append(
            _split(role, source, None if train and stats else most, rule, moments if train else None, advance)
        )
    mean, std = (None, None) if moments is None else moments.result()
    return DataFacts(
        dataset=data.dataset, splits=tuple(splits), shared=dict(_shared(opened)), mean=mean, std=std
    )


def _open(data: DataSpec, split: str, role: str, plugins: Plugins, labels: bool) -> Source:
    source = open_split(data, split, plugins=plugins, where=f"data.{role}_split", labels=labels)
    if source.stream:
        message = "a stream cannot be looked at: its samples have no index"
        raise UserError(Problem("data.dataset", message, data.dataset))
    return source


def _split(
    role: str,
    source: Source,
    most: int | None,
    rule: PixelRule,
    moments: Moments | None,
    advance: Callable[[], None],
) -> SplitFacts:
    size = len(source)
    count = size if most is None else min(most, size)
    positions = sorted({number * size // count for number in range(count)}) if count else []
    sizes: Counter[str] = Counter()
    modes: Counter[str] = Counter()
    broken: dict[str, str] = {}
    turned = 0
    for position, found in _looked(source, positions, rule, moments):
        if isinstance(found, str):
            broken[source.short_name(position)] = found
        else:
            sizes[found.size] += 1
            modes[found.mode] += 1
            turned += found.turned
            if moments is not None and found.moments is not None:
                moments.add(found.moments)
        advance()
    labels = None if source.labels is None else source.labels.numpy()
    return SplitFacts(
        role=role,
        name=source.split,
        images=size,
        labelled=0 if labels is None else int((labels >= 0).sum()),
        classes=_classes(source),
        looked_at=len(positions),
        sizes=dict(sizes.most_common()),
        modes=dict(modes.most_common()),
        turned=turned,
        broken=broken,
        repeated={
            source.short_name(later): source.short_name(first) for later, first in repeated_images(source)
        },
        notes=source.notes,
    )


def _classes(source: Source) -> dict[str, int]:
    if source.labels is None or not source.labelled:
        return {}
    labels = source.labels.numpy()
    counts = np.bincount(labels[labels >= 0], minlength=source.num_classes or 0)
    if source.label_sets is not None:
        counts = source.label_sets.counts(source.labels).numpy()
    names = source.classes or tuple(map(str, range(len(counts))))
    return {name: int(count) for name, count in zip(names, counts, strict=False)}


class _Found(NamedTuple):
    size: str
    mode: str
    turned: bool
    moments: np.ndarray[Any, np.dtype[np.float64]] | None


def _looked(
    source: Source, positions: list[int], rule: PixelRule, moments: Moments | None
) -> Iterator[tuple[int, _Found | str]]:
    """Size, mode and moments of each image, or why it cannot be used; in the order of the positions."""

    def look(position: int) -> _Found | str:
        try:
            image = source[position][0]
            size, mode, turned = "x".join(map(str, size_of(image))), mode_of(image), _is_turned(image)
            if moments is None:
                rule(
                    image
                )  # an error, where the range of its values is not known, or its channels are others
                return _Found(size, mode, turned, None)
            return _Found(size, mode, turned, moments.of(image))
        except (RunFailed, UnknownRange) as error:
            return _reason(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(positions), _BLOCK):
            block = positions[start : start + _BLOCK]
            yield from zip(block, pool.map(look, block), strict=True)


def _is_turned(image: Decoded) -> bool:
    if not isinstance(image, Image.Image):
        return False
    with suppress(Exception):  # the header may be damaged: the pixels were read all the same
        return image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) in _TURNED
    return False


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rpartition(": ")[2]


def _shared(opened: dict[str, Source]) -> Iterable[tuple[str, dict[str, str]]]:
    for here, there in (("eval", "train"), ("test", "train"), ("test", "eval")):
        if here not in opened or there not in opened:
            continue
        found = shared_images(opened[here], opened[there])
        if found is not None and found.pairs:
            pairs = {
                opened[here].short_name(one): opened[there].short_name(other) for one, other in found.pairs
            }
            yield f"{here}, {there}", pairs
