from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kdcore import ModelOutput, RunFailed, UserError
from kdcore.teacher_cache.cache import TeacherCache
from kdcore.teacher_cache.manifest import Manifest
from kdcore.teacher_cache.size import estimate

from .conftest import FULL, PLAIN, SAMPLES, identity, outputs, settings, tensors

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def rows(*positions: int) -> torch.Tensor:
    return torch.tensor(positions)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_written_is_read_rounded_once(opened, dtype):
    cache = opened(dtype=dtype)
    output = outputs(4)
    index = rows(7, 0, 11, 3)
    assert cache.read(1, index) is None
    written, read = cache.write(1, index, output), cache.read(1, index)
    for kept, back, given_ in zip(tensors(written), tensors(read), tensors(output), strict=True):
        assert kept.dtype == back.dtype == torch.float32
        assert torch.equal(kept, given_.to(DTYPES[dtype]).float())
        assert torch.equal(kept, back)
    assert set(read.features) == {2, "blocks.1.mlp"}
    assert read.features[2].prefix is None
    assert cache.read(0, index) is None
    assert cache.read(3, index) is not None  # augmentation 3 mod 2
    assert cache.rows_filled == 4
    assert cache.missing(1).tolist() == [1, 2, 4, 5, 6, 8, 9, 10]
    assert cache.missing(0).tolist() == list(range(12))


def test_a_row_that_is_there_stays(opened):
    cache = opened()
    first, second = outputs(2, seed=1), outputs(3, seed=2)
    cache.write(0, rows(4, 5), first)
    written = cache.write(0, rows(5, 6, 4), second)
    assert torch.equal(written.logits, torch.stack([first.logits[1], second.logits[1], first.logits[0]]))
    assert torch.equal(cache.read(0, rows(5, 6, 4)).logits, written.logits)


def test_another_process_sees_it_at_once_and_after_it_is_closed(opened):
    one, other = opened(), opened()
    assert one.path == other.path
    one.write(0, rows(1), outputs(1))
    assert torch.equal(other.read(0, rows(1)).logits, outputs(1).logits)
    other.write(0, rows(1, 2), outputs(2, seed=3))
    assert torch.equal(one.read(0, rows(1)).logits, outputs(1).logits)
    one.close()
    assert opened(create=False).rows_filled == 2


def test_all_files_are_closed_even_if_the_disk_is_full(opened, monkeypatch: pytest.MonkeyPatch):
    closed, close = [], os.close
    cache = opened()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(os, "close", lambda handle: (closed.append(handle), close(handle)))
        with pytest.raises(OSError, match="No space"):
            cache.close()
        cache.close()  # the numbers may belong to other files now
    assert len(set(closed)) == len(closed) == len(cache.manifest.fields) + 1
    assert cache.rows_filled == 0


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.lists(st.integers(0, SAMPLES - 1), min_size=1, max_size=6, unique=True)
        ),
        max_size=12,
    )
)
def test_any_order_of_batches_gives_each_row_its_first_value(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("caches")
    cache = TeacherCache.open(folder, identity(), PLAIN, settings(augmentations=3), SAMPLES)
    expected: dict[tuple[int, int], torch.Tensor] = {}
    for number, (epoch, positions) in enumerate(batches):
        logits = outputs(len(positions), seed=number).logits
        keys = [(epoch % 3, position) for position in positions]
        known = cache.read(epoch, rows(*positions))
        assert (known is not None) == all(key in expected for key in keys)
        written = cache.write(epoch, rows(*positions), ModelOutput(logits))
        for place, key in enumerate(keys):
            assert torch.equal(written.logits[place], expected.setdefault(key, logits[place]))
    assert cache.rows_filled == len(expected)


# -- damage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["logits.bin", "embedding.bin", "map-stage2.bin", "rows.crc"])
def test_an_edited_byte_makes_its_row_missing_and_nothing_else(opened, file):
    cache = opened()
    cache.write(0, torch.arange(SAMPLES), outputs(SAMPLES))
    path = cache.path / file
    size = path.stat().st_size
    content = bytearray(path.read_bytes())
    content[5 * size // 24] ^= 0x40  # in row 5 of 24
    path.write_bytes(content)
    told: list[str] = []
    again = opened()
    again.warn = told.append
    assert again.missing(0).tolist() == [5]
    assert again.read(0, rows(4, 5)) is None
    assert again.read(0, rows(4, 6)) is not None
    assert len(told) == 1
    assert "damaged" in told[0]
    again.write(0, rows(5), outputs(1, seed=9))
    assert torch.equal(again.read(0, rows(5)).logits, outputs(1, seed=9).logits)


def test_a_row_that_was_written_half_counts_as_missing(opened, monkeypatch: pytest.MonkeyPatch):
    cache = opened()
    write, calls = os.pwrite, []

    def killed(handle: int, data: bytes, offset: int) -> int:
        calls.append(handle)
        if len(calls) > 3:
            raise OSError("killed")
        return write(handle, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", killed)
        with pytest.raises(OSError, match="killed"):
            cache.write(0, rows(2), outputs(1))
    again = opened()
    assert again.read(0, rows(2)) is None
    again.write(0, rows(2), outputs(1))
    assert torch.equal(again.read(0, rows(2)).logits, outputs(1).logits)


def test_a_row_that_another_host_overwrites_after_it_was_written_is_damaged(opened):
    cache, told = opened(), []
    cache.warn = told.append
    cache.write(0, rows(0, 1), outputs(2))
    np.memmap(cache.path / "logits.bin", np.uint8, "r+")[:28] = 0  # row 0, as it was in the other's memory
    assert cache.read(0, rows(0, 1)) is None
    assert len(told) == 1
    assert cache.missing(0).tolist() == [0, *range(2, SAMPLES)]
    cache.write(0, rows(0, 1), outputs(2))
    assert torch.equal(cache.read(0, rows(0, 1)).logits, outputs(2).logits)


@pytest.mark.parametrize("file", ["logits.bin", "rows.crc", "manifest.json"])
@pytest.mark.parametrize("how", ["truncated", "missing"])
def test_a_damaged_cache_is_left_alone(opened, file, how):
    cache = opened()
    path = cache.path / file
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    again = opened()
    assert again.path != cache.path
    assert again.rows_filled == 0
    assert cache.path.is_dir()


def test_a_newer_format_is_left_alone(opened):
    manifest = opened().path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    assert opened().path != manifest.parent


# -- which cache ---------------------------------------------------------------------------------------------


def test_only_the_same_outputs_are_the_same_cache(opened):
    path = opened().path
    assert path.name.startswith("toy_net-")
    assert opened(seed=1).path != path
    assert opened(dtype="float16").path != path
    assert opened(top_k=2).path != path
    assert opened(augmentations=3).path not in (path, opened(dtype="float16").path)
    with pytest.raises(UserError, match="no cache in"):
        opened(seed=2, create=False)


def test_fewer_augmentations_and_less_content_are_served_by_a_full_cache(opened):
    large = opened(augmentations=4)
    for augmentation in range(4):
        assert opened(PLAIN).path != large.path  # not yet full: what is missing in it could not be added
        shutil.rmtree(opened(PLAIN).path)
        large.write(augmentation, torch.arange(SAMPLES), outputs(SAMPLES, seed=augmentation))
    small = opened(PLAIN)
    assert small.path == large.path
    assert (small.rows_total, small.rows_filled) == (24, 24)
    read = small.read(3, rows(8))  # augmentation 3 mod 2
    assert torch.equal(read.logits[0], outputs(SAMPLES, seed=1).logits[8])
    assert read.embedding is None
    assert read.features == {}


def test_a_damaged_row_of_a_larger_cache_is_computed_each_time(opened):
    large = opened()
    for augmentation in range(2):
        large.write(augmentation, torch.arange(SAMPLES), outputs(SAMPLES))
    np.memmap(large.path / "embedding.bin", np.uint8, "r+")[3] ^= 1  # of row 0
    small = opened(PLAIN)
    assert small.path == large.path
    new = ModelOutput(outputs(2, seed=5).logits)
    for _ in range(2):
        assert small.read(0, rows(0, 1)) is None
        written = small.write(0, rows(0, 1), new)
        assert torch.equal(written.logits, torch.stack([new.logits[0], outputs(SAMPLES).logits[1]]))


# -- what does not fit ---------------------------------------------------------------------------------------


def test_numbers_that_the_format_cannot_hold(opened):
    with pytest.raises(RunFailed, match=r"logits are too large for float16: .*'bfloat16' or 'float32'"):
        opened(PLAIN, dtype="float16").write(0, rows(0), ModelOutput(torch.full((1, 7), 1e5)))
    opened(PLAIN, dtype="bfloat16").write(0, rows(0), ModelOutput(torch.full((1, 7), 1e5)))
    with pytest.raises(RunFailed, match="not finite"):
        opened(PLAIN).write(0, rows(0), ModelOutput(torch.full((1, 7), torch.nan)))
    assert opened(PLAIN).rows_filled == 0


def test_the_disk_has_to_hold_all_of_it(opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    needed = estimate(FULL, settings(), SAMPLES)
    numbers = 7 + 5 + 3 * 4 * 5 + 6 * 2 * 2 + 2 * 6
    assert needed == 2 * SAMPLES * (4 * numbers + 4)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
        with pytest.raises(UserError, match=r"needs .* kB, but the disk of .* has only .* kB free"):
            opened()
        assert list(tmp_path.iterdir()) == []
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
        assert opened().size_bytes == needed


def test_two_processes_of_the_same_number_create_it_at_once(
    opened, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    write = Manifest.write

    def overtaken(self: Manifest, folder: Path) -> None:
        monkeypatch.setattr(Manifest, "write", write)
        other = opened()  # the process of another host
        other.write(0, rows(3), outputs(1))
        write(self, folder)

    monkeypatch.setattr(Manifest, "write", overtaken)
    assert opened().rows_filled == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"teacher_cache\.folder: .* cannot be written"):
        TeacherCache.open(tmp_path / "file" / "caches", identity(), PLAIN, settings(), SAMPLES)
