from __future__ import annotations

from itertools import islice, takewhile

import pytest
import torch

from kdcore.data.lanes import LaneBatches, Lanes
from kdcore.data.loader import make_loader, passed
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
def batches(make_picture, make_data, small_input):
    def of(sizes, workers=0, first=0, last=6, part=4, rank=0, world=1, epoch=0, num_classes=3, stream=None):
        stream = stream or Stream(make_picture, sizes)
        data = make_data(augment={"crop": "resized"})
        steps = train_transform(data, small_input, data.augment)
        lanes = Lanes(len(sizes), rank, world)
        made = LaneBatches(stream, lanes, part, steps, 1, num_classes, False, (0, epoch), first, last)
        workers = lanes.workers(workers)
        loader = make_loader(made, workers=workers, device_type="cpu", batch_size=None)
        return [(images.numpy().tobytes(), target.tolist()) for images, target in passed(loader)]

    return of


def samples(lanes, stream, lane, count, *keys):
    return list(islice(lanes.samples(stream, lane, *keys), count))


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
            own = list(takewhile(lambda sample: sample is not None, lanes._ordered(stream, lane, 1, 2)))
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
