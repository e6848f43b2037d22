"""Streams of Hugging Face's `datasets` (`hfids/`): shards that are read one after another, from the hub or a folder."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.data.column_shards import image_and_label
from kdcore.data.source import Source, Unreadable, decode
from kdcore.data.special_targets import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kdcore.data.pixels import Decoded

_ROWS: Final = 16  # read together


class HfStream(Source):
    """A split as a stream.

    Args:
        name: of the dataset: on the hub, or a folder.
        root: the folder for downloads, or None.
        split: the split.
        num_classes: K, if the dataset does not say it.
        samples: the samples of an epoch; None: as many as the dataset reports.
        labels: whether labels are read.

    Raises:
        ValueError: it has no column of images.
    """

    stream = True
    reported: int
    """The number of samples that the dataset reports; 0: unknown."""
    shard_names: tuple[str, ...]
    """The files of the split: the address with its revision, or name and size of a file on the disk."""

    def __init__(
        self,
        name: str,
        root: str | None,
        split: str,
        num_classes: int | None,
        samples: int | None,
        *,
        labels: bool = True,
    ) -> None:
        datasets = import_module("datasets")
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            builder = datasets.load_dataset_builder(name, cache_dir=root)
            found = builder.as_streaming_dataset(split=split)
        self.title = f"hfids/{name}"
        features: dict[str, Any] = found.features or next(iter(found.take(1)), {})
        self._image, found_label = image_and_label(list(features))
        self._label = found_label if labels else None
        if self._label is not None and hasattr(features.get(self._label), "feature"):
            raise ValueError(
                f"its column '{self._label}' has lists, several labels an image, and a stream has one class an image; "
                "'hfds/...' reads them"
            )
        self._dataset = found.cast_column(self._image, datasets.Image(decode=False))
        names = getattr((found.features or {}).get(self._label), "names", None)
        if names:
            self.classes = tuple(str(one) for one in names)
        self.num_classes = len(names) if names else num_classes
        self.labelled = self._label is not None
        known = (builder.info.splits or {}).get(split)
        self.reported = int(getattr(known, "num_examples", 0) or 0)
        self._size = samples or self.reported
        self.shard_names = _names(getattr(builder.config, "data_files", None) or {}, split)
        self.num_shards = int(found.num_shards)

    def __len__(self) -> int:
        return self._size  # 0: unknown

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        raise TypeError(f"{self.title} is a stream: its samples have no index")

    def read(self, shard: int) -> Iterator[Any]:
        """See `ShardStream`."""
        # not by iterating, which would divide the shard among the loader processes once more
        for rows in self._dataset.shard(num_shards=self.num_shards, index=shard).iter(batch_size=_ROWS):
            for number in range(len(rows[self._image])):
                yield {name: column[number] for name, column in rows.items()}

    def decoded(self, sample: Any, number: int) -> tuple[Decoded, int | None]:
        """See `ShardStream`."""
        image = sample[self._image]
        content = image["bytes"]
        if content is None:
            try:
                content = Path(image["path"]).read_bytes()
            except (OSError, TypeError) as error:
                message = f"image {number} cannot be read: {self.title}: {image['path']}: {error}"
                raise Unreadable(message) from error
        label = None if self._label is None else sample[self._label]
        return decode(content, self.title, number, self.rule), label

    def open(self, *, training: bool, seed: int, batch_size: int) -> Iterable[tuple[Decoded, int]]:
        """The samples of this process for evaluation, decoded and in their order."""
        import torch.distributed as dist

        rank, world = 0, 1
        if dist.is_available() and dist.is_initialized():
            rank, world = dist.get_rank(), dist.get_world_size()
        return _Samples(self, rank, world)


def _names(files: Mapping[Any, Iterable[str]], split: str) -> tuple[str, ...]:
    own = files[split] if split in files else [file for some in files.values() for file in some]
    return tuple(_name(str(file)) for file in own)


def _name(file: str) -> str:
    path = Path(file)
    if "://" in file or not path.is_file():
        return file
    return f"{path.name} {path.stat().st_size}"


class _Samples:
    """Every world-th sample; it can be sent to a loader process."""

    def __init__(self, stream: HfStream, rank: int, world: int) -> None:
        self._stream, self._rank, self._world = stream, rank, world

    def __iter__(self) -> Iterator[tuple[Decoded, int]]:
        number = 0
        for shard in range(self._stream.num_shards):
            for sample in self._stream.read(shard):
                if number % self._world == self._rank:
                    image, label = self._stream.decoded(sample, number)
                    yield image, UNLABELLED if label is None else label
                number += 1
