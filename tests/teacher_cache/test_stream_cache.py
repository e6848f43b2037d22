"""Caches of streams: rows by the keys of samples whose number nobody knows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from kdcore.cli.app import main
from kdcore.teacher_cache.cache import TeacherCache
from kdcore.teacher_cache.listing import damaged_rows, look_at

from .conftest import FULL, PLAIN, identity, outputs, settings, tensors


@pytest.fixture
def grown(tmp_path):
    def open_cache(rows=FULL, **changes):
        return TeacherCache.open(tmp_path, identity(), rows, settings(**changes), 0)

    return open_cache


def keys(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def same(found, wanted, rows=slice(None)) -> bool:
    return all(
        torch.equal(one, other[rows]) for one, other in zip(tensors(found), tensors(wanted), strict=True)
    )


def test_the_files_grow_with_the_rows(grown):
    cache, made = grown(), outputs(3)
    assert (cache.rows_filled, cache.rows_total, len(cache.there(0)), cache.size_bytes) == (0, 0, 0, 0)
    assert cache.read(0, keys(5, 0)) is None
    cache.write(0, keys(5, 0, 2), made)
    assert same(cache.read(0, keys(5, 0, 2)), made)
    assert cache.read(0, keys(5, 1)) is None
    assert cache.read(1, keys(5)) is None
    assert cache.there(0).tolist() == [True, False, True, False, False, True]
    assert cache.missing_of(0, keys(2, 3, 900)).tolist() == [1, 2]
    more = outputs(2, seed=1)
    cache.write(3, keys(900, 5), more)
    assert same(cache.read(1, keys(900, 5)), more)
    assert (cache.rows_filled, cache.rows_total, cache.progress) == (5, 5, "5")
    cache.close()
    again = grown()
    assert again.path == cache.path
    assert same(again.read(0, keys(2)), made, slice(2, 3))


def test_two_runs_fill_it_together(grown):
    one, other = grown(), grown()
    first, second = outputs(2), outputs(2, seed=1)
    one.write(0, keys(0, 9), first)
    assert same(other.read(0, keys(9)), first, slice(1, 2))
    other.write(0, keys(3, 40), second)
    assert same(one.read(0, keys(3, 40)), second)
    assert one.rows_filled == other.rows_filled == 4


def test_what_a_killed_process_left_is_written_again(grown):
    cache, made = grown(PLAIN), outputs(2)
    cache.write(0, keys(0, 1), made)
    with (cache.path / "logits.bin").open("ab") as file:
        file.write(b"half a row")
    again = grown(PLAIN)
    assert same(again.read(0, keys(0, 1)), again.write(0, keys(0, 1), outputs(2, seed=1)))
    again.write(0, keys(2, 3), made)
    assert torch.equal(again.read(0, keys(2, 3)).logits, made.logits)


def test_fewer_augmentations_are_served_and_other_fields_are_not(grown):
    cache, made = grown(), outputs(2)
    cache.write(0, keys(0, 4), made)
    cache.write(1, keys(4), outputs(1, seed=1))
    fewer = grown(augmentations=1)
    assert (fewer.path, fewer.rows_filled) == (cache.path, 2)
    assert same(fewer.read(7, keys(0, 4)), made)
    # a stream is never known to be in the cache as a whole
    assert grown(PLAIN).path != cache.path
    assert grown(augmentations=3).path != cache.path


def test_damaged_rows(grown, capsys):
    cache = grown(PLAIN)
    cache.write(0, keys(0, 1, 7), outputs(3))
    file = cache.path / "logits.bin"
    values = np.fromfile(file, "<f4").reshape(-1, 7)
    values[2, 0] += 1  # sample 1, augmentation 0 of 2
    values.tofile(file)
    assert damaged_rows(look_at(cache.path)) == [2]
    file.chmod(0o444)
    assert damaged_rows(look_at(cache.path)) == [2]
    file.chmod(0o644)
    told = []
    again = grown(PLAIN)
    again.warn = told.append
    assert again.missing_of(0, keys(0, 1, 7)).tolist() == [1]
    assert "are damaged" in told[0]


def test_commands(grown, tmp_path, capsys):
    cache = grown(PLAIN)
    cache.write(0, keys(0, 1, 7), outputs(3))
    for arguments, shown in (
        (["list", str(tmp_path)], ["stream x 2", "3 rows"]),
        (["show", str(cache.path)], ["a stream", "3 filled: 2 augmentations each"]),
        (["check", str(cache.path)], ["3 rows are filled; all are whole"]),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["cache", *arguments])
        assert ended.value.code in (None, 0)
        printed = capsys.readouterr().out
        assert all(text in printed for text in shown), printed
    with pytest.raises(SystemExit):
        main(["cache", "show", str(cache.path), "--json"])
    about = json.loads(capsys.readouterr().out)
    assert (about["samples"], about["rows"], about["filled"]) == (None, None, 3)
