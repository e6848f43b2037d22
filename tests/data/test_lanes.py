from __future__ import annotations

from itertools import islice, takewhile

import numpy as np
import pytest
import torch

from kdcore.data.lanes import LaneBatches, Lanes, SampleMaker
from kdcore.data.loader import make_loader, passed
from kdcore.data.stream_pass import StreamPass, first_samples
from kdcore.data.transforms import train_transform
from kdcore.errors import RunFailed


class Stream:
    """Shards of numbered pictures; counts what is read and decoded."""

    title = "a stream"

    def __init__(self, make_picture, sizes):
        self.make_picture, self.sizes = make_picture, sizes
        self.num_shards = len(sizes)
        self.decodings = 0

    def read(self, shard):
        first = sum(self.sizes[:shard])
        yield from range(first, first + self.sizes[shard])

    def decoded(self, sample, number):
        self.decodings += 1
        return self.make_picture(sample), sample % 3


@pytest.fixture
def maker(make_picture, make_data, small_input):
    def of(stream, num_classes=3):
        data = make_data(augment={"crop": "resized"})
        return SampleMaker(stream, train_transform(data, small_input, data.augment), 1, num_classes, False, 0)

    return of


def read(batches, workers=0):
    loader = make_loader(batches, workers=workers, device_type="cpu", batch_size=None)
    return [(images.numpy(), target.tolist(), key.tolist()) for images, target, key in passed(loader)]


@pytest.fixture
def batches(make_picture, maker):
    def of(
        sizes,
        workers=0,
        first=0,
        last=6,
        part=4,
        epoch=0,
        num_classes=3,
        stream=None,
        augmentations=None,
        lanes=None,
    ):
        make = maker(stream or Stream(make_picture, sizes), num_classes)
        lanes = lanes or Lanes(len(sizes))
        made = LaneBatches(make, lanes, part, epoch, augmentations, first, last)
        found = read(made, lanes.workers(workers))
        return [(images.tobytes(), target, key) for images, target, key in found]

    return of


def samples(lanes, stream, lane, count, *keys):
    return [sample.content for sample in islice(lanes.samples(stream, lane, *keys), count)]


def by_key(batches):
    """(key, the pixels of an image) of all samples of batches, in order of the keys."""
    found = [
        (key, image.tobytes())
        for images, _, keys in batches
        for key, image in zip(keys, np.array_split(np.frombuffer(images, np.uint8), len(keys)), strict=True)
    ]
    return sorted(found)


@pytest.mark.parametrize(
    ("shards", "world", "lanes"), [(1, 1, 1), (3, 1, 2), (100, 1, 8), (8, 2, 4), (3, 4, 1)]
)
def test_the_number_of_lanes(shards, world, lanes):
    assert Lanes(shards, 0, world).count == lanes


def test_loader_processes_share_the_lanes():
    lanes = Lanes(100)
    assert [lanes.workers(wanted) for wanted in range(10)] == [0, 1, 2, 2, 4, 4, 4, 4, 8, 8]
    assert Lanes(1).workers(5) == 1


def test_workers_change_nothing(batches):
    one = batches([5, 6, 4, 5])
    assert len(one) == 6
    for workers in (1, 2):
        assert batches([5, 6, 4, 5], workers=workers) == one
        assert batches([5, 6, 4, 5], workers=workers, first=3) == one[3:]
    assert batches([5, 6, 4, 5], epoch=1) != one


def test_what_was_seen_is_not_decoded_again(batches, make_picture):
    stream = Stream(make_picture, [5, 6, 4, 5])
    whole = batches(stream.sizes)
    assert batches(stream.sizes, first=4, stream=stream) == whole[4:]
    assert stream.decodings == 2 * 4


@pytest.mark.parametrize("world", [1, 2, 5])
def test_each_pass_has_each_sample_once(make_picture, world):
    stream, found = Stream(make_picture, [5, 7, 4, 8]), []
    for rank in range(world):
        lanes = Lanes(4, rank, world)
        for lane in range(lanes.count):
            ordered = takewhile(lambda sample: sample is not None, lanes._ordered(stream, lane, 1, 2))
            own = [sample.content for sample in ordered]
            mixed = samples(lanes, stream, lane, len(own), 1, 2)
            assert sorted(mixed) == sorted(own)
            assert mixed != own
            found += mixed
    assert sorted(found) == list(range(24))


def test_orders_are_functions_of_the_keys(make_picture):
    stream, lanes = Stream(make_picture, [50, 50]), Lanes(2)
    orders = [samples(lanes, stream, 0, 50, seed, epoch) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_a_key_is_a_shard_and_a_place(batches):
    sizes = [5, 6, 4, 5]
    expected = sorted(place * 4 + shard for shard, size in enumerate(sizes) for place in range(size))
    for epoch in (0, 1):
        keys = [key for _, _, keys in batches(sizes, last=10, part=2, epoch=epoch) for key in keys]
        assert len(set(keys)) > 14
        assert set(keys) <= set(expected)
    whole = by_key(batches([5] * 4, last=20, part=1))
    parts = [batches([5] * 4, last=10, part=1, lanes=Lanes(4, rank, 2)) for rank in (0, 1)]
    assert by_key(parts[0] + parts[1]) == whole  # with any number of processes


def test_an_augmentation_is_a_function_of_epoch_and_key(batches):
    first, second, third = (dict(by_key(batches([8, 8], epoch=epoch, last=4))) for epoch in (0, 1, 2))
    assert set(first.values()).isdisjoint(second.values())
    kept = [dict(by_key(batches([8, 8], epoch=epoch, last=4, augmentations=2))) for epoch in (0, 1, 2)]
    assert kept[0] == kept[2] == first != third
    assert kept[1] == second
    orders = [
        [keys for _, _, keys in batches([8, 8], epoch=epoch, last=4, augmentations=1)] for epoch in (0, 1)
    ]
    assert orders[0] != orders[1]
    again = by_key(batches([8, 8], last=8))  # two passes
    assert len({pixels for _, pixels in again}) == 32
    assert len({pixels for _, pixels in by_key(batches([8, 8], last=8, augmentations=1))}) == 16


def test_a_pass_over_all_that_is_not_there(make_picture, maker, batches):
    stream = Stream(make_picture, [5, 1, 4, 9])
    there = np.zeros(9, dtype=bool)
    there[[0, 3, 6]] = True
    whole = read(StreamPass(maker(stream), 0, there, 4, 0, 1))
    keys = [key for _, _, batch in whole for key in batch]
    assert sorted(keys) == sorted(
        {place * 4 + shard for shard, size in enumerate(stream.sizes) for place in range(size)} - {0, 3, 6}
    )
    assert stream.decodings == 16
    assert max(len(batch) for _, _, batch in whole) == 4
    flat = [(images.tobytes(), target, key) for images, target, key in whole]
    for workers in (1, 2):
        helped = read(StreamPass(maker(stream), 0, there, 4, 0, 1), workers)
        assert sorted((images.tobytes(), target, key) for images, target, key in helped) == sorted(flat)
    for world in (2, 5):
        parts = [read(StreamPass(maker(stream), 0, there, 4, rank, world)) for rank in range(world)]
        assert sorted(key for part in parts for _, _, batch in part for key in batch) == sorted(keys)
    trained = dict(by_key(batches(stream.sizes, stream=stream, last=12, augmentations=1)))
    for key, pixels in by_key(flat):
        assert trained.get(key, pixels) == pixels


def test_the_first_samples_of_some_shards(make_picture, maker):
    make = maker(Stream(make_picture, [5, 0, 4, 9]))
    pixels = dict(by_key(read_all(make)))
    assert [image.numpy().tobytes() for image in first_samples(make, 8)] == [pixels[key] for key in (0, 2, 3)]
    assert [image.numpy().tobytes() for image in first_samples(make, 2)] == [pixels[key] for key in (0, 2)]


def read_all(make):
    found = read(StreamPass(make, 0, np.zeros(0, dtype=bool), 4, 0, 1))
    return [(images.tobytes(), target, key) for images, target, key in found]


def test_errors_of_a_pass(make_picture, maker):
    class Lost(Stream):
        def read(self, shard):
            raise OSError("connection lost")

    make = maker(Lost(make_picture, [4]))
    for reading in (lambda: read_all(make), lambda: list(first_samples(make, 1))):
        with pytest.raises(RunFailed, match=r"a stream: .*OSError: connection lost"):
            reading()


def test_errors(batches, make_picture):
    with pytest.raises(RunFailed, match=r"sample \d+ of a stream has class 2, but there are only 2"):
        batches([6, 6], num_classes=2)
    with pytest.raises(RunFailed, match=r"a stream: .*the stream gave no samples"):
        batches([0, 0])

    class Lost(Stream):
        def read(self, shard):
            raise OSError("connection lost")

    with pytest.raises(RunFailed, match=r"a stream: .*OSError: connection lost"):
        batches([4], workers=1, stream=Lost(make_picture, [4]))


def test_the_callers_generators_are_kept(batches):
    torch.manual_seed(3)
    batches([8, 8])
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
