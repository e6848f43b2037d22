"""Shards of webdatasets: tars in which a sample's files follow one another and share a name up to the first dot."""

from __future__ import annotations

import json
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.data.cache import cache_dir
from kdcore.data.layout import is_image
from kdcore.data.special_targets import UNLABELLED, whole_label
from kdcore.data.tar_members import fault, members, more_behind
from kdcore.data.unpack import plain_tar
from kdcore.errors import RunFailed
from kdcore.rundir.files import atomic
from kdcore.rundir.positions import read_at

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.data.draws import Positions

IMAGES: Final = ("jpg", "jpeg", "png", "webp", "ppm", "bmp", "tif", "tiff", "npy")
"""What follows the first dot of the name of a sample's image."""
_VERSION: Final = "5"  # of what is kept in the cache
_TEXT: Final = frozenset({"txt", "json"})  # a file of a sample, or one that describes the dataset


@dataclass(frozen=True)
class Unread:
    """What is not read of a tar.

    Attributes:
        files: how many files are left out because of their names: images, and one of each sample without an image.
        first: the first of them.
        behind: whether there is more data after the tar's end, as in tars that were joined.
    """

    files: int
    first: str
    behind: bool


@dataclass(frozen=True)
class WebShard:
    """A tar of a webdataset.

    Attributes:
        path: the tar, which may be compressed.
        label: the field of the samples' JSON files that holds the class index; '' means: it is in their '.cls' files.
        read_labels: whether labels are read; otherwise samples have none.
    """

    path: Path
    label: str = ""
    read_labels: bool = True

    def open(self) -> OpenTar:
        """Read its index, from kd's cache if it is there."""
        plain = plain_tar(self.path, where="data.dataset")
        status = plain.stat()
        field = self.label if self.read_labels else None
        about = f"{_VERSION}|{plain.absolute()}|{status.st_size}|{status.st_mtime_ns}|{field!r}"
        kept = cache_dir() / "shards" / f"{blake2b(about.encode(), digest_size=16).hexdigest()}.npz"
        with suppress(OSError, ValueError, KeyError), np.load(kept, allow_pickle=False) as found:
            first = found["first"].tobytes().decode("utf-8", "surrogateescape")
            unread = Unread(int(found["files"]), first, bool(found["behind"]))
            return OpenTar(plain, found["spans"], found["labels"], found["keys"].tobytes(), unread)
        opened = _index(plain, field)
        with suppress(OSError):  # a folder that cannot be written costs time only
            opened.keep(kept)
        return opened


class OpenTar:
    """A tar whose samples are known by their places in it.

    Args:
        path: the uncompressed tar.
        spans: offset and size of each image `[n, 2]`.
        labels: class indices `[n]`, -1 without one.
        keys: the samples' names, with a line end after each.
        unread: what is not read of it.
    """

    def __init__(self, path: Path, spans: Positions, labels: Positions, keys: bytes, unread: Unread) -> None:
        self._path, self._spans, self.labels, self._keys = path, spans, labels, keys
        self.unread = unread
        self._file = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return len(self.labels)

    def content(self, number: int) -> bytes:
        """The bytes of an image file."""
        offset, size = (int(value) for value in self._spans[number])
        data = read_at(self._file.fileno(), size, offset)  # forked processes share no position
        if len(data) != size:
            raise RunFailed(f"{self._path} was truncated during the run")
        return data

    def label(self, number: int) -> int:
        """Its class index."""
        return int(self.labels[number])

    def key(self, number: int) -> str:
        """The common part of its files' names."""
        return self._keys.split(b"\n", number + 1)[number].decode("utf-8", "surrogateescape")

    def keep(self, file: Path) -> None:
        """Write the index, whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic(file) as part:
            keys, first = (
                np.frombuffer(text, dtype=np.uint8)
                for text in (self._keys, self.unread.first.encode("utf-8", "surrogateescape"))
            )
            np.savez(
                part,
                spans=self._spans,
                labels=self.labels,
                keys=keys,
                files=np.int64(self.unread.files),
                first=first,
                behind=np.bool_(self.unread.behind),
            )

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def _index(path: Path, label: str | None) -> OpenTar:
    spans: list[tuple[int, int]] = []
    labels: list[int] = []
    keys: list[str] = []
    others: list[str] = []
    current, files = "", dict[str, tarfile.TarInfo]()

    def add(archive: tarfile.TarFile) -> None:
        image = next((files[kind] for kind in IMAGES if kind in files), None)
        if image is not None:
            spans.append((image.offset_data, image.size))
            name = f"{path}:{current}"
            labels.append(UNLABELLED if label is None else _label(archive, files, label, name))
            keys.append(current)
        else:
            others.extend(_left_out(files))

    try:
        with tarfile.open(path, "r:") as archive:
            for member in members(archive, path, path.stat().st_size):
                if not member.isreg() or member.issparse():
                    continue
                folder, _, name = member.name.rpartition("/")
                start, dot, kind = name.partition(".")
                key = f"{folder}/{start}" if folder else start
                if not dot or not start:
                    continue
                if key != current:
                    add(archive)
                    current, files = key, {}
                files[kind.lower()] = member
            add(archive)
            behind = more_behind(archive, path)
    except tarfile.TarError as error:
        raise RunFailed(f"the shard {path} cannot be read: {fault(path, error)}") from error
    text = "".join(f"{key}\n" for key in keys).encode("utf-8", "surrogateescape")
    places = np.array(spans, dtype=np.int64).reshape(-1, 2)
    unread = Unread(len(others), others[0] if others else "", behind)
    return OpenTar(path, places, np.array(labels, dtype=np.int64), text, unread)  # type: ignore[arg-type]


def _left_out(files: dict[str, tarfile.TarInfo]) -> list[str]:
    """Of a sample without an image that is read: its images with other names, or else one file; no text alone."""
    images = [file.name for file in files.values() if is_image(file.name)]
    others = sorted((kind for kind in files if kind not in _TEXT), key=lambda kind: kind == "cls")
    return images or [files[kind].name for kind in others[:1]]


def _label(archive: tarfile.TarFile, files: dict[str, tarfile.TarInfo], field: str, name: str) -> int:
    kind = "json" if field else "cls"
    if kind not in files:
        return UNLABELLED
    content = archive.extractfile(files[kind])
    assert content is not None
    text = content.read()
    value: Any = None
    with suppress(ValueError, TypeError, KeyError):
        value = json.loads(text)[field] if field else text.decode()
        return max(whole_label(int(value) if isinstance(value, str) else value), UNLABELLED)
    what = f"the field '{field}' of its JSON file" if field else "its '.cls' file"
    raise RunFailed(f"{name}: {what} is not a class index: {text[:40].decode('utf-8', 'replace')!r}")
