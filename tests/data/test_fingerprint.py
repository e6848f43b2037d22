from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdcore.data.fingerprint import SplitFingerprint, split_fingerprint
from kdcore.data.folder import open_folder
from kdcore.data.registered import WrappedSource
from kdcore.data.tar import open_tar


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{number}.bmp")
    return tmp_path


def _of(root: Path) -> SplitFingerprint:
    return split_fingerprint(open_folder(root, "train", where="data.train_split"))


def _differs(one: SplitFingerprint, other: SplitFingerprint) -> set[str]:
    return {name for name, value in one.as_dict().items() if other.as_dict()[name] != value} - {"modified"}


def _paint(path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(path)  # a bitmap of the same size in bytes


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (lambda train: _paint(train / "cat/1.bmp"), {"contents"}),
        (lambda train: (train / "cat/1.bmp").write_bytes(b"BM"), {"contents", "sizes"}),
        (lambda train: (train / "cat/1.bmp").rename(train / "cat/1x.bmp"), {"names"}),
        (lambda train: (train / "dog").rename(train / "fox"), {"names", "classes"}),
        (lambda train: (train / "cat/2.bmp").unlink(), {"samples", "names", "labels", "sizes", "contents"}),
    ],
)
def test_each_change_shows(images: Path, change: Callable[[Path], object], fields: set[str]):
    before = _of(images)
    assert _differs(before, _of(images)) == set()
    change(images / "train")
    assert _differs(before, _of(images)) == fields


def test_swapped_classes_show(images: Path):
    before, train = _of(images), images / "train"
    for old, new in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
        (train / old).rename(train / new)
    assert _differs(before, _of(images)) == {"contents"}


def test_a_folder_that_was_moved_or_only_touched_is_the_same(images: Path, tmp_path: Path):
    before = _of(images)
    os.utime(images / "train/cat/0.bmp", (2**31 - 1, 2**31 - 1))
    after = _of(images)
    assert _differs(before, after) == set()
    assert after.modified is not None
    assert before.modified is not None
    assert after.modified > before.modified
    shutil.copytree(images / "train", tmp_path / "elsewhere" / "train")
    assert _differs(before, _of(tmp_path / "elsewhere")) == set()


def test_a_tar_is_read_by_its_members(images: Path, tmp_path: Path):
    def of(folder: Path) -> SplitFingerprint:
        path = tmp_path / "images.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(folder / "train", "train")
        return split_fingerprint(
            open_tar(path, "train", where="data.train_split", dataset_where="data.dataset")
        )

    before = of(images)
    assert before.sizes is not None
    assert _differs(before, of(images)) == set()
    _paint(images / "train/dog/0.bmp")
    assert _differs(before, of(images)) == {"contents"}


class _Drawn:
    """A dataset of a plugin that draws its images, from global generators."""

    targets = (0, 1, 0)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(np.random.randint(0, 255, (4, 4, 3)).astype(np.uint8)), self.targets[index]


def test_a_dataset_without_files_is_known_by_its_pixels_and_drawing_stays_as_it_was():
    source = WrappedSource(_Drawn(), "drawn", 2, "drawn 1.0")
    np.random.seed(3)
    first = split_fingerprint(source)
    drawn = np.random.rand()
    np.random.seed(3)
    assert drawn == np.random.rand()
    assert first.sizes is None
    assert _differs(first, split_fingerprint(source)) == set()


def test_an_image_that_is_missing_is_part_of_it(images: Path):
    source = open_folder(images, "train", where="data.train_split")
    before = split_fingerprint(source)
    (images / "train/cat/0.bmp").unlink()
    assert _differs(before, split_fingerprint(source)) == {"contents", "sizes"}


def test_names_that_are_numbers_are_not_read_one_by_one() -> None:
    class Many:
        def __init__(self, size: int) -> None:
            self.size, self.asked = size, 0

        def __len__(self) -> int:
            return self.size

        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            return Image.new("RGB", (2, 2), (index & 255, 0, 0)), 0

    found = [split_fingerprint(WrappedSource(Many(size), "many", 10)) for size in (10**9, 10**9 + 1)]
    assert _differs(*found) >= {"samples", "names"}
