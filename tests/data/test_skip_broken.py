"""`data.skip_broken`: what stands in for an image that cannot be read."""

from __future__ import annotations

import pytest
import torch

from kdcore.data.evaluate import WithoutLabels, build_eval_data
from kdcore.data.folder import open_folder
from kdcore.data.special_targets import BROKEN, UNLABELLED
from kdcore.data.train import build_train_data
from kdcore.errors import RunFailed


@pytest.fixture
def folder(image_folder):
    """The training images, of which the third is cut off and the last two are gone after they were listed."""
    source = open_folder(image_folder, "train", where="")
    from pathlib import Path

    third, *gone = (Path(source.name(index)) for index in (2, 10, 11))
    third.write_bytes(third.read_bytes()[:40])
    for path in gone:
        path.unlink()
    return source


def built(source, data, small_input, **arguments):
    return build_train_data(source, data, small_input, batch_size=4, seed=5, num_classes=12, **arguments)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_one_that_can_be_read_stands_in(folder, make_data, small_input, workers):
    data = built(folder, make_data(workers=workers, skip_broken=True), small_input)
    broken, seen = set(), {}
    for epoch in range(2):
        for batch in data.epoch(epoch):
            broken.update(batch.broken)
            assert batch.images.shape[0] == len(batch.index) == 4
            for image, target, index in zip(batch.images, batch.target, batch.index.tolist(), strict=True):
                assert int(target) == int(folder.labels[index])
                # its augmentation is that of the epoch, not of the place that it stands in for
                assert torch.equal(seen.setdefault((epoch, index), image), image)
    assert broken == {2, 10, 11}
    assert {index for _, index in seen} == set(range(12)) - broken
    # position 2 is followed by 3, and 10 and 11 by 0
    indices = torch.cat([batch.index for batch in data.epoch(0)]).tolist()
    assert sorted(indices) == sorted([0, 1, 3, 3, 4, 5, 6, 7, 8, 9, 0, 0])


# each process that is spawned imports torch again; test_sending.py has them
@pytest.mark.parametrize("start_method", ["fork", "forkserver"], indirect=True)
def test_workers_change_nothing(folder, make_data, small_input, start_method):
    passes = [
        list(built(folder, make_data(workers=workers, skip_broken=True), small_input).epoch(3))
        for workers in ((0, 1, 2) if start_method == "fork" else (0, 1))
    ]
    for other in passes[1:]:
        for one, two in zip(passes[0], other, strict=True):
            assert torch.equal(one.images, two.images)
            assert torch.equal(one.index, two.index)
            assert one.broken == two.broken


def test_evaluation_leaves_them_out_and_keeps_their_places(folder, make_data, small_input):
    data = build_eval_data(folder, make_data(workers=0, skip_broken=True), small_input, batch_size=5)
    for _ in range(2):
        target = torch.cat([target for _, target in data])
        assert (target == BROKEN).nonzero().flatten().tolist() == [2, 10, 11]
        assert data.broken == {2, 10, 11}
    assert data.name(2).endswith(folder.name(2))
    unlabelled = WithoutLabels(data)
    assert torch.cat([target for _, target in unlabelled]).tolist() == [
        BROKEN if position in data.broken else UNLABELLED for position in range(12)
    ]
    assert unlabelled.broken == data.broken


def test_unasked_the_first_one_ends_the_run(folder, make_data, small_input):
    with pytest.raises(RunFailed, match="cannot be read"):
        list(built(folder, make_data(workers=0), small_input).epoch(0))


def test_none_that_can_be_read(folder, make_data, small_input):
    from pathlib import Path

    for index in range(12):
        Path(folder.name(index)).write_bytes(b"")
    with pytest.raises(RunFailed, match="none of the 12 images can be read"):
        list(built(folder, make_data(workers=0, skip_broken=True), small_input).epoch(0))
