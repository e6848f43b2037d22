from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from PIL import Image

from kdcore.data.inputs import InputConfig
from kdcore.data.partners import Partners
from kdcore.data.source import Source
from kdcore.data.train import build_train_data
from kdcore.spec.models import DataSpec

LABELS = torch.tensor([2, 0, 1, 0, 2, 0, 0, 2, 5])


def test_a_partner_is_another_sample_of_the_class():
    partners = Partners(LABELS, seed=3)
    for epoch in range(20):
        for position, label in enumerate(LABELS.tolist()):
            partner = partners(epoch, position)
            assert LABELS[partner] == label
            assert (partner == position) is (label in (1, 5)), "alone in its class"


def test_every_other_sample_of_the_class_is_as_likely():
    partners = Partners(LABELS, seed=0)
    counts = Counter(partners(epoch, 3) for epoch in range(3000))
    assert set(counts) == {1, 5, 6}
    assert all(abs(count - 1000) < 120 for count in counts.values())


def test_it_is_a_function_of_seed_epoch_and_position():
    first, again, other = (Partners(LABELS, seed) for seed in (1, 1, 2))
    drawn = [[one(epoch, 3) for epoch in range(40)] for one in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


class Colours(Source):
    """Each image has its position as its colour."""

    split, title, fixed, stream, in_memory, labelled, notes = "train", "colours", True, False, True, True, ()
    labels = LABELS
    num_classes, classes, weights = 6, None, None

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, index):
        return Image.fromarray(np.full((8, 8, 3), 20 * index, np.uint8)), int(LABELS[index])

    def name(self, index):
        return str(index)


def batches(workers=0, views=1, epoch=2, skip=0):
    data = DataSpec(workers=workers, image_size=8, augment={"padding": 0, "hflip": 0.0}, in_memory=False)
    taken = InputConfig((8, 8), (0.0,) * 3, (1.0,) * 3, "bilinear", 1.0)
    built = build_train_data(
        Colours(), data, taken, batch_size=3, seed=7, num_classes=6, partner=True, views=views
    )
    return list(built.epoch(epoch, skip))


def test_a_batch_has_the_image_of_each_partner():
    partners = Partners(LABELS, seed=7)
    for batch in batches():
        assert batch.partner.shape == batch.images.shape
        shown = (batch.partner[:, 0, 0, 0] * 255 / 20).round().long().tolist()
        assert shown == [partners(2, int(position)) for position in batch.index]


def test_neither_loader_processes_nor_a_resumed_epoch_change_it():
    alone, others, rest = batches(), batches(workers=1), batches(skip=2)
    for one, other in zip(alone, others, strict=True):
        assert torch.equal(one.partner, other.partner)
    assert torch.equal(alone[2].partner, rest[0].partner)


def test_with_views_there_is_one_image_of_the_partner():
    augment = DataSpec().augment.model_copy(update={"padding": 0})
    batch = batches(views=(augment, augment))[0]
    assert batch.images.dim() == 5
    assert batch.partner.dim() == 4
