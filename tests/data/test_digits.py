from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kdcore.data import digits
from kdcore.data.digits import Digits
from kdcore.errors import UserError


def test_the_splits_are_balanced_and_share_nothing():
    train, test = Digits(None, "train"), Digits(None, "test")
    assert (len(train), len(test)) == (1297, 500)
    assert Counter(test.targets) == dict.fromkeys(range(10), 50)
    theirs = load_digits()
    every = {
        (image.tobytes(), label)
        for split in (train, test)
        for image, label in (split[i] for i in range(len(split)))
    }
    whole = {
        (np.round(image * 255 / 16).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(theirs.images, theirs.target, strict=True)
    }
    assert every == whole
    in_test = {test[index][0].tobytes() for index in range(500)}
    in_train = {train[index][0].tobytes() for index in range(1297)}
    assert len(in_test & in_train) == len(in_test) + len(in_train) - len({pixels for pixels, _ in whole})


def test_images():
    image, label = Digits(None, "train")[0]
    assert (image.size, image.mode) == ((8, 8), "L")
    assert image.getextrema()[1] == 255
    assert isinstance(label, int)


def test_the_split_stays_what_it_is():
    # a change here changes everybody's numbers
    assert Digits(None, "test").targets[:12] == [0, 3, 4, 8, 3, 5, 8, 9, 9, 0, 5, 0]


def test_unknown_split():
    with pytest.raises(UserError) as caught:
        Digits(None, "tset")
    (problem,) = caught.value.problems
    assert (problem.allowed, problem.nearest) == ("train, test", "test")


def test_without_scikit_learn(monkeypatch):
    digits._read.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match=r'pip install "scikit-learn>='):
        Digits(None, "train")
