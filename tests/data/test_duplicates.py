from __future__ import annotations

import os

import numpy as np
import pytest

from kdcore.data.duplicates import shared_images
from kdcore.data.folder import open_folder


class Counting:
    """A source that counts the files that are read."""

    def __init__(self, source):
        self._source, self.read = source, 0

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __len__(self):
        return len(self._source)

    def content(self, index):
        self.read += 1
        return self._source.content(index)


@pytest.fixture
def splits(tmp_path, monkeypatch):
    """Two splits of files with the given contents; kd's cache is empty."""
    monkeypatch.setenv("KD_CACHE", str(tmp_path / "cache"))

    def make(**contents):
        for split, files in contents.items():
            (tmp_path / "data" / split / "a").mkdir(parents=True, exist_ok=True)
            for number, content in enumerate(files):
                (tmp_path / "data" / split / "a" / f"{number:04}.png").write_bytes(content)
        return tuple(Counting(open_folder(tmp_path / "data", split, where="")) for split in contents)

    return make


def test_equal_files_are_found_by_their_content(splits):
    train, test = splits(train=[b"one", b"two!", b"six", b"", b"two!"], test=[b"two!", b"", b"ten", b"three"])
    found = shared_images(test, train)
    assert found.pairs == ((0, 1),)  # the first of two; empty files are no images
    assert found.compared == 4
    assert (train.read, test.read) == (4, 2)  # of the sizes that both splits have


def test_the_result_is_kept_until_a_file_changes(splits, tmp_path):
    train, test = splits(train=[b"one", b"two"], test=[b"two"])
    first = shared_images(test, train)
    assert shared_images(test, train) == first
    assert test.read == 1
    changed = tmp_path / "data" / "train" / "a" / "0001.png"
    changed.write_bytes(b"ten")
    os.utime(changed, (2e9, 2e9))
    assert shared_images(test, train).pairs == ()


def test_of_many_files_some_are_compared(splits):
    contents = [f"{number:03}".encode() for number in range(200)]
    train, test = splits(train=contents[:100], test=contents[50:150])
    found = shared_images(test, train, most=120)
    assert found.compared < 100
    assert train.read + test.read <= 120 + 100  # all have one size, so all of the other split are read
    assert all(test._source.content(here) == train._source.content(there) for here, there in found.pairs)


def test_against_comparing_all_with_all(splits):
    random = np.random.default_rng(0)
    contents = [bytes(random.integers(0, 3, random.integers(1, 4), dtype=np.uint8)) for _ in range(120)]
    train, test = splits(train=contents[:80], test=contents[80:])
    expected = [
        (here, next(there for there, other in enumerate(contents[:80]) if other == content))
        for here, content in enumerate(contents[80:])
        if content in contents[:80]
    ]
    assert list(shared_images(test, train).pairs) == expected
