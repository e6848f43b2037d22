"""The files of a split in shards, by their names or by a webdataset's `_info.json`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem, UserError, listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDINGS: Final = {
    "wds": (".tar", ".tar.gz", ".tgz"),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
}
_INFO: Final = ("_info.json", "info.json")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class ShardInfo:
    """What a webdataset's `_info.json` says.

    Attributes:
        files: the shards of the split, relative to the root; None if it does not name the split.
        sizes: the number of samples by shard, of all splits.
        label: see `WebShard`.
    """

    files: list[str] | None = None
    sizes: dict[Path, int] = field(default_factory=dict)
    label: str = ""


def read_info(root: Path, split: str, where: str) -> ShardInfo:
    """What the `_info.json` of a folder says about a split; nothing if there is none.

    Raises:
        UserError: it cannot be read.
    """
    file = next((root / name for name in _INFO if (root / name).is_file()), None)
    if file is None:
        return ShardInfo()
    try:
        splits = json.loads(file.read_text())["splits"]
        sizes = {
            root / str(name): int(size)
            for one in splits.values()
            for name, size in zip(one["filenames"], one.get("shard_lengths", ()), strict=False)
        }
        if split not in splits:
            return ShardInfo(None, sizes)
        own = splits[split]
        return ShardInfo([str(name) for name in own["filenames"]], sizes, str(own.get("alt_label", "")))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        message = f"{file} has no splits with 'filenames' and 'shard_lengths': {error}"
        raise UserError(Problem(where, message)) from error


def paths_of(root: Path, split: str, kind: str, info: ShardInfo, where: str) -> list[Path]:
    """The files of a split, in the order of their names.

    Raises:
        UserError: there are none, or one of them is missing.
    """
    endings = ENDINGS[kind]
    pattern = split.partition("|")[0]
    if pattern.lower().endswith(endings):
        names = [name for one in pattern.split("::") for name in expand(one)]
    elif info.files is not None:
        names = info.files
    else:
        names = _named(root, split, endings)
        if not names:
            raise UserError(_no_split(root, split, endings, where))
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        message = f"{len(missing)} of {len(names)} shards are not in {root}: {listed(missing)}"
        raise UserError(Problem(where, message, value=split))
    return [root / name for name in names]


def _named(root: Path, split: str, endings: tuple[str, ...]) -> list[str]:
    """Files like train-0001.tar, train/0001.tar or data/train-0001.parquet."""
    found = []
    for path in _files(root, endings):
        name = path.relative_to(root).as_posix()
        start = name.removeprefix("data/")
        if start.startswith(split) and not start[len(split) : len(split) + 1].isalnum():
            found.append(name)
    return sorted(found)


def _files(root: Path, endings: tuple[str, ...]) -> list[Path]:
    folders = [root, *(entry for entry in sorted(root.iterdir()) if entry.is_dir())]
    return [
        entry
        for folder in folders
        for entry in sorted(folder.iterdir())
        if entry.is_file() and entry.name.lower().endswith(endings)
    ]


def _no_split(root: Path, split: str, endings: tuple[str, ...], where: str) -> Problem:
    there = [path.relative_to(root).as_posix() for path in _files(root, endings)]
    message = (
        f"there are no shards of this split in {root}: no {split}-*{endings[0]}, no {split}/*{endings[0]}"
    )
    hint = f"There are {listed(there)}." if there else f"There is no file that ends in {', '.join(endings)}."
    return Problem(where, message, split, f"a split, or files: '{split}-{{000..009}}{endings[0]}'", hint=hint)


def expand(pattern: str) -> Iterator[str]:
    """The names of a pattern such as 'a-{000..009}.tar' or '{a,b}.tar'."""
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    limits = _RANGE.fullmatch(found[1])
    if limits is None:
        choices = found[1].split(",")
    else:
        first, last = int(limits[1]), int(limits[2])
        choices = [str(number).zfill(len(limits[1])) for number in range(first, last + 1)]
    for choice in choices:
        yield from expand(pattern[: found.start()] + choice + pattern[found.end() :])
