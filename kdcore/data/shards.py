"""Shards: large files with many samples each (webdatasets, Parquet, Arrow), where each sample still has a position."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

from kdcore.data.shard_order import MIXED_SHARDS
from kdcore.data.source import Source, checked_index, decode, unreadable
from kdcore.errors import KdError, RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kdcore.data.pixels import Decoded
    from kdcore.data.shard_order import Shards

_OPEN: Final = 2 * MIXED_SHARDS  # those whose samples are mixed, and the next ones


class OpenShard(Protocol):
    """A shard that is being read."""

    def __len__(self) -> int: ...
    def content(self, number: int) -> bytes:
        """The bytes of an image file."""

    def label(self, number: int) -> int:
        """Its class index; -1 without one."""

    def key(self, number: int) -> str:
        """Its name in the shard."""


class Shard(Protocol):
    """A shard; it is small, and can be sent to other processes."""

    def open(self) -> OpenShard:
        """Read what is needed to find its samples.

        Raises:
            KdError: it cannot be read.
        """


class ShardSource(Source):
    """The samples of shards, one shard after the other.

    A process keeps the shards open that it read last; a shard is opened by the first of its samples that is read.
    """

    fixed = True
    shards: Shards

    def __init__(self, title: str, shards: Shards, parts: Sequence[Shard], labels: Tensor | None) -> None:
        self.title, self.shards, self.labels = title, shards, labels
        self._parts = tuple(parts)
        self._opened: OrderedDict[int, OpenShard] = OrderedDict()
        self.labelled = bool((labels >= 0).any()) if labels is not None else self._open(0).label(0) >= 0

    def __len__(self) -> int:
        return int(self.shards.ends[-1])

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        index = checked_index(index, len(self))
        shard, number, opened = self._find(index)
        name = f"{self.shards.names[shard]}:{opened.key(number)}"
        try:
            data = opened.content(number)
        except (OSError, ValueError) as error:
            raise unreadable(name, index, error) from error
        return decode(data, name, index, self.rule), opened.label(number)

    def content(self, index: int) -> bytes:
        """The bytes of the image file."""
        _, number, opened = self._find(index)
        return opened.content(number)

    def name(self, index: int) -> str:
        """The shard, and the number of the sample in it."""
        shard, number = self.shards.find(index)
        return f"{self.shards.names[shard]}[{number}]"

    def read_labels(self) -> list[int]:
        """See `Source`: from the shards, without decoding images."""
        found = []
        for shard, size in enumerate(self.shards.sizes.tolist()):
            opened = self._open(shard)
            found += [opened.label(number) for number in range(size)]
        return found

    def _find(self, index: int) -> tuple[int, int, OpenShard]:
        shard, number = self.shards.find(index)
        return shard, number, self._open(shard)

    def _open(self, shard: int) -> OpenShard:
        opened = self._opened.get(shard)
        if opened is None:
            try:
                opened = self._parts[shard].open()
            except KdError:
                raise
            except Exception as error:  # each format's library has its own errors
                message = str(error) or type(error).__name__
                raise RunFailed(f"the shard {self.shards.names[shard]} cannot be read: {message}") from error
            if len(opened) != self.shards.sizes[shard]:
                raise RunFailed(
                    f"the shard {self.shards.names[shard]} has {len(opened)} samples, and "
                    f"{self.shards.sizes[shard]} when the run started or in _info.json"
                )
            while len(self._opened) >= _OPEN:
                self._opened.popitem(last=False)
            self._opened[shard] = opened
        self._opened.move_to_end(shard)
        return opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": OrderedDict()}
