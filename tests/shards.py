"""Tiny shards for tests."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def image_bytes(number: int) -> bytes:
    """A PNG whose pixels tell its number."""
    pixels = np.random.RandomState(number).randint(0, 256, (10, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, numbers: range, mode: str = "w", label: str = "cls", **cells: Any) -> None:
    """A shard of a webdataset; the class of image N is N modulo 3, or what `cells` says of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for number in numbers:
            value = cells.get(f"n{number}", number % 3)
            files = {"png": image_bytes(number)}
            if value is not None:
                text = str(value) if label == "cls" else json.dumps({label: value})
                files["cls" if label == "cls" else "json"] = text.encode()
            for kind, content in files.items():
                member = tarfile.TarInfo(f"images/{number:04}.{kind}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_tars(root: Path, split: str = "train", sizes: tuple[int, ...] = (5, 7, 4, 8)) -> int:
    """Shards of these sizes; their images are numbered through."""
    first = 0
    for shard, size in enumerate(sizes):
        write_tar(root / f"{split}-{shard:03}.tar", range(first, first + size))
        first += size
    return first


def write_info(root: Path, split: str, sizes: tuple[int, ...], **more: Any) -> None:
    """What webdatasets say about their shards."""
    files = [f"{split}-{shard:03}.tar" for shard in range(len(sizes))]
    about = {"name": split, "num_samples": sum(sizes), "filenames": files, "shard_lengths": sizes, **more}
    (root / "_info.json").write_text(json.dumps({"splits": {split: about}}))


FEATURES = (
    b'{"info": {"features": {"image": {"_type": "Image"}, '
    b'"label": {"names": ["ant", "bee", "cat"], "_type": "ClassLabel"}}}}'
)


def write_parquet(path: Path, numbers: range, images: Callable[[int], bytes] = image_bytes) -> None:
    """A shard as on the Hugging Face hub; the class of image N is N modulo 3."""
    pa = pytest.importorskip("pyarrow")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": images(number), "path": None} for number in numbers], kind)
    table = pa.table({"image": column, "label": [number % 3 for number in numbers]})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(table.replace_schema_metadata({b"huggingface": FEATURES}), path)
