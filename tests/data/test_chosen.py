from __future__ import annotations

import pytest
import torch
from PIL import Image

from kdcore.data.chosen_samples import ChosenSource, at_most
from kdcore.data.source import Source


class Shades(Source):
    """Image i is grey i; three classes of different size."""

    def __init__(self, known: bool = True) -> None:
        self.classes, self.num_classes = ("a", "b", "c"), 3
        self._labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 2)
        self.labels = self._labels if known else None

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("L", (2, 2), index), int(self._labels[index])

    def name(self, index: int) -> str:
        return f"shade {index}"


def test_a_part_is_a_source():
    part = ChosenSource(Shades(), torch.tensor([13, 0, 19]).numpy())
    assert len(part) == 3
    assert [part[index][0].getpixel((0, 0)) for index in range(3)] == [13, 0, 19]
    assert part.labels is not None
    assert part.labels.tolist() == [part[index][1] for index in range(3)] == [1, 0, 2]
    assert part.name(0) == "shade 13"
    assert part.classes == ("a", "b", "c")
    with pytest.raises(IndexError):
        part[3]


def test_at_most_is_balanced_and_in_order():
    part = at_most(Shades(), 6)
    assert part.labels is not None
    assert part.labels.bincount().tolist() == [2, 2, 2]
    values = [part[index][0].getpixel((0, 0)) for index in range(6)]
    assert values == sorted(values)


def test_at_most_without_known_labels_is_spread_evenly():
    part = at_most(Shades(known=False), 3)
    assert part.labels is None
    assert [part[index][0].getpixel((0, 0)) for index in range(3)] == [0, 10, 19]


@pytest.mark.parametrize("most", [None, 20, 99])
def test_a_small_source_stays_as_it_is(most: int | None):
    source = Shades()
    assert at_most(source, most) is source
