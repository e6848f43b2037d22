"""Images in memory: filled on the way, shared by loader processes, and the same bits as without."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.data import memory
from kdcore.data.evaluate import build_eval_data
from kdcore.data.folder import open_folder
from kdcore.data.memory import ImageMemory, free_memory, processes_here, remember
from kdcore.data.registered import WrappedSource
from kdcore.data.train import build_train_data
from kdcore.errors import RunFailed, UserError

PAD = {"crop": "pad", "padding": 2}
RICH = {"crop": "resized", "color_jitter": 0.3, "auto_augment": "rand-m9-mstd0.5", "random_erasing": 0.5}


@pytest.fixture
def folder(image_folder):
    return open_folder(image_folder, "train", where="")


@pytest.fixture
def build(make_data, small_input, folder):
    def built(of=folder, **data):
        spec = make_data(**{"workers": 0, "augment": PAD, **data})
        return build_train_data(of, spec, small_input, batch_size=4, seed=3, num_classes=3)

    return built


def test_put_and_get():
    kept = ImageMemory(3, capacity=40)
    grey, colour = np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    kept.put(2, colour, 7)
    kept.put(0, grey, -1)
    kept.put(1, grey, 1)  # 48 bytes would be too many
    kept.put(0, colour, 5)  # it is there
    assert (len(kept), kept.used) == (2, 36)
    assert kept.get(1) is None
    for position, image, label in ((0, grey, -1), (2, colour, 7)):
        found = kept.get(position)
        assert found is not None
        assert np.array_equal(found[0], image)
        assert found[1] == label
        with pytest.raises(ValueError, match="read-only"):
            found[0][0] = 0
    kept.clear()
    assert (len(kept), kept.used, kept.get(0)) == (0, 0, None)


def test_forked_processes_share_it_and_others_go_without():
    kept = ImageMemory(2, capacity=10)
    child = multiprocessing.get_context("fork").Process(
        target=kept.put, args=(1, np.ones((2, 2), np.uint8), 4)
    )
    child.start()
    child.join(120)
    assert child.exitcode == 0
    assert kept.get(1)[1] == 4
    assert pickle.loads(pickle.dumps(kept)) is None


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [PAD, RICH])
def test_the_same_bits_and_no_files_in_later_epochs(build, folder, workers, augment):
    expected = [
        [batch.images for batch in build(augment=augment, in_memory=False).epoch(epoch)] for epoch in range(3)
    ]
    data = build(augment=augment, workers=workers)
    kept = data.samples.memory
    assert len(kept) == 0  # nothing is read ahead
    assert all(map(torch.equal, [batch.images for batch in data.epoch(0)], expected[0]))
    assert len(kept) == 12
    for index in range(12):
        Path(folder.name(index)).unlink()
    for epoch in (1, 2):
        batches = list(data.epoch(epoch))
        assert all(map(torch.equal, [batch.images for batch in batches], expected[epoch]))
        for batch in batches:
            assert batch.target.tolist() == folder.labels[batch.index].tolist()


def test_views_and_train_samples(make_data, small_input, folder):
    def epochs(in_memory):
        spec = make_data(workers=0, augment=PAD, train_samples=6, in_memory=in_memory)
        data = build_train_data(folder, spec, small_input, batch_size=3, seed=1, num_classes=3, views=2)
        assert (data.samples.memory is None) is not in_memory
        return [batch for epoch in range(2) for batch in data.epoch(epoch)]

    for one, two in zip(epochs(True), epochs(False), strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.target, two.target)


def test_broken_images_stay_broken(build, folder):
    path = Path(folder.name(5))
    path.write_bytes(path.read_bytes()[:40])
    data, without = build(skip_broken=True), build(skip_broken=True, in_memory=False)
    for epoch in range(3):
        for one, two in zip(data.epoch(epoch), without.epoch(epoch), strict=True):
            assert torch.equal(one.images, two.images)
            assert one.index.tolist() == two.index.tolist()
            assert one.broken == two.broken
    assert data.samples.memory.get(5) is None
    for _ in range(2):
        with pytest.raises(RunFailed, match=f"image 5 cannot be read: {path}"):
            list(build().epoch(0))


def test_evaluation(make_data, small_input, folder):
    def passes(in_memory):
        data = build_eval_data(folder, make_data(workers=0, in_memory=in_memory), small_input, batch_size=5)
        return [batch for _ in range(2) for batch in data]

    for one, two in zip(passes(True), passes(False), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def test_the_limit(build, monkeypatch):
    needed = build(in_memory=True).kept_bytes
    assert needed > 12 * 3 * 16 * 16  # the longer side is longer
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * needed)
    assert build().samples.memory is not None
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * needed - 4)
    assert build().samples.memory is None
    assert build(in_memory=True).samples.memory is not None
    monkeypatch.setattr(memory, "free_memory", lambda: needed - 1)
    assert build(in_memory=False).kept_bytes == 0
    with pytest.raises(UserError, match=r"data\.in_memory: the 12 decoded images need about 10\.9 kB"):
        build(in_memory=True)


def test_a_dataset_that_may_draw_is_kept_when_asked_only(build, make_pairs):
    drawing, said = WrappedSource(make_pairs(6), "mine", 3, "plugin"), make_pairs(6, fixed=True)
    assert build(of=drawing).samples.memory is None
    assert build(of=drawing, in_memory=True).samples.memory is not None
    assert build(of=WrappedSource(said, "mine", 3, "plugin")).samples.memory is not None
    there = build(of=WrappedSource(make_pairs(6, in_memory=True), "mine", 3))
    assert there.samples.memory is not None
    assert there.kept_bytes == 0  # it was in memory before: nothing to tell


def test_on_the_meta_device_nothing_is_read(make_data, small_input, folder):
    Path(folder.name(0)).unlink()
    data = build_train_data(
        folder, make_data(), small_input, batch_size=4, seed=0, num_classes=3, device="meta"
    )
    assert data.samples.memory is None


@pytest.mark.parametrize(
    ("limit", "taken", "cached"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_free_memory_minds_the_control_group(tmp_path, limit, taken, cached):
    group = tmp_path / "job"
    group.mkdir()
    groups = (group, tmp_path)
    (group / limit).write_text("max\n")
    (group / taken).write_text("600")
    (group / "memory.stat").write_text(f"anon 1\n{cached} 200\n")
    assert free_memory(groups) > 1 << 20
    (group / limit).write_text("1000\n")
    assert free_memory(groups) == 600
    (group / limit).write_text("300\n")
    assert free_memory(groups) == 0


def test_the_control_groups_of_this_process():
    assert all(group.is_relative_to("/sys/fs/cgroup") for group in memory.control_groups())
    assert free_memory() > 0


@pytest.mark.parametrize(
    ("told", "here"),
    [({}, 8), ({"LOCAL_WORLD_SIZE": "2"}, 2), ({"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 4)]
    + [({"LOCAL_WORLD_SIZE": value}, 8) for value in ("", "0", "nine", "9")],
)
def test_processes_of_this_machine_share_its_memory(monkeypatch, build, told, here):
    for name in memory._LOCAL:
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert processes_here(8) == here
    samples = build(in_memory=False).samples
    needed = memory._bytes_needed(samples)
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * needed * here)
    assert remember(samples, None, 8) is not None
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * needed * here - 8)
    assert remember(samples, None, 8) is None
