"""A finished run of one epoch on a few generated pictures: made when it is first needed, and kept until Python ends."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Final

from PIL import Image

CLASSES: Final = ("blue", "green", "red")
_COLOURS: Final = ((40, 60, 200), (40, 180, 60), (200, 50, 40))
_SIDE: Final = 16
_IMAGES: Final = {"train": 8, "test": 4}  # of each class


def pictures(folder: Path) -> Path:
    """Write the pictures: `SPLIT/CLASS/NUMBER.png`."""
    for split, count in _IMAGES.items():
        for label, (name, colour) in enumerate(zip(CLASSES, _COLOURS, strict=True)):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                shade = tuple(channel + 5 * number + 3 * (split == "test") for channel in colour)
                image = Image.new("RGB", (_SIDE, _SIDE), shade)
                image.putpixel((number, label), (255, 255, 255))
                image.save(place / f"{number}.png")
    return folder


def spec(data: Path, output: Path) -> dict[str, Any]:
    """The spec of a run that takes a second or two."""
    return {
        "name": "tiny",
        "output": str(output),
        "data": {"dataset": str(data), "image_size": 32, "workers": 0},
        "student": {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 8},
        "report": False,
    }


def tiny_run() -> Path:
    """A new copy of the run directory, which may be changed; it is removed when Python ends."""
    first = _first()
    copy = Path(tempfile.mkdtemp(dir=first.parent)) / first.name
    return Path(shutil.copytree(first, copy))


@cache
def _first() -> Path:
    import kdcore

    folder = tempfile.TemporaryDirectory(prefix="kd-tiny-run-")
    atexit.register(folder.cleanup)
    place = Path(folder.name)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # those of libraries are not the subject's
        kdcore.run(spec(pictures(place / "pictures"), place / "runs"), quiet=True)
    return place / "runs" / "tiny"


def contents(folder: Path) -> dict[str, bytes]:
    """The content of every file in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def difference(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """The names of files that are new, gone or changed."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
