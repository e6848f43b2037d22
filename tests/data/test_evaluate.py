from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdcore.data.evaluate import build_eval_data
from kdcore.data.folder import open_folder
from kdcore.data.registered import WrappedSource
from kdcore.data.source import Source
from kdcore.data.subset import balanced_draw
from kdcore.data.transforms import eval_transform
from kdcore.errors import RunFailed, UserError


@pytest.fixture
def source(image_folder):
    return open_folder(image_folder, "train", where="")


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_sample_once_in_order(source, make_data, small_input, workers):
    data = make_data(workers=workers)
    built = build_eval_data(source, data, small_input, batch_size=5)
    assert (built.size, built.total, built.labelled) == (12, 12, True)
    transform = eval_transform(data, small_input)
    for _ in range(2):
        batches = list(built)
        assert [len(images) for images, _ in batches] == [5, 5, 2]
        assert torch.cat([target for _, target in batches]).tolist() == source.labels.tolist()
        expected = torch.stack([transform(source[index][0]) for index in range(12)])
        assert torch.equal(torch.cat([images for images, _ in batches]), expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(size=st.integers(1, 20), world=st.integers(1, 5), batch_size=st.integers(1, 9))
def test_processes_share_all_samples(make_pairs, make_data, small_input, size, world, batch_size):
    source = WrappedSource(make_pairs(size, kinds=size), "mine", None)
    parts = [
        build_eval_data(
            source, make_data(workers=0), small_input, batch_size=batch_size, rank=rank, world=world
        )
        for rank in range(world)
    ]
    seen = [target.tolist() for part in parts for _, target in part]
    assert [label for batch in seen for label in batch] == list(range(size))
    assert sum(part.size for part in parts) == size
    assert {part.total for part in parts} == {size}


def test_unlabelled(make_pairs, make_data, small_input):
    built = build_eval_data(
        WrappedSource(make_pairs(3, labelled=False), "mine", None),
        make_data(workers=0),
        small_input,
        batch_size=2,
    )
    assert not built.labelled
    assert torch.cat([target for _, target in built]).tolist() == [-1, -1, -1]


def test_errors(source, make_data, small_input):
    class Empty(Source):
        def __len__(self):
            return 0

    with pytest.raises(UserError, match=r"data\.eval_split: there are no images"):
        build_eval_data(Empty(), make_data(), small_input, batch_size=2)
    built = build_eval_data(source, make_data(workers=0), small_input, batch_size=4, num_classes=2)
    with pytest.raises(RunFailed, match="has class 2, but there are only 2"):
        list(built)
    Path(source.name(0)).write_bytes(b"")
    with pytest.raises(RunFailed, match="image 0 cannot be read"):
        list(build_eval_data(source, make_data(workers=1), small_input, batch_size=4))


def test_generators_are_untouched(source, make_data, small_input):
    random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), float(torch.rand(()))
    random.seed(1)
    torch.manual_seed(1)
    list(build_eval_data(source, make_data(workers=0), small_input, batch_size=4))
    assert (random.random(), float(torch.rand(()))) == expected


def test_eval_samples_are_a_balanced_draw_whatever_the_seed(source, make_data, small_input):
    data = make_data(workers=0, eval_samples=5)
    built = build_eval_data(source, data, small_input, batch_size=2)
    assert (built.size, built.total) == (5, 5)
    images = torch.cat([images for images, _ in built])
    labels = torch.cat([target for _, target in built])
    chosen = balanced_draw(source.labels.numpy(), 0)[:5]
    transform = eval_transform(data, small_input)
    assert torch.equal(images, torch.stack([transform(source[int(index)][0]) for index in chosen]))
    assert labels.tolist() == source.labels[chosen].tolist()
    assert labels.bincount().max() - labels.bincount(minlength=len(source.classes)).min() <= 1
    with pytest.raises(UserError, match=r"(?s)data\.eval_samples: there are only 12 evaluation .*1 to 12"):
        build_eval_data(source, make_data(eval_samples=13), small_input, batch_size=2)
