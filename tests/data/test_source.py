from __future__ import annotations

import io
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.data.source import Names, Source, checked_index, decode
from kdcore.errors import RunFailed


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_names_are_kept(names):
    packed = pickle.loads(pickle.dumps(Names(names)))
    assert [packed[index] for index in range(len(packed))] == names


def test_names_that_are_not_utf8():
    assert Names(["a", "b\udcff"])[1] == "b\udcff"


def test_index():
    assert checked_index(-1, 3) == 2
    for wrong in (3, -4):
        with pytest.raises(IndexError):
            checked_index(wrong, 3)


@pytest.mark.parametrize(("format", "rest"), [("JPEG", 0.6), ("PNG", 0.6), ("JPEG", 0.02), ("PNG", 0.0)])
def test_truncated_images_are_errors(make_picture, format, rest):
    file = io.BytesIO()
    make_picture(0, (64, 64)).save(file, format)
    whole = file.getvalue()
    assert decode(whole, "a/b.jpg", 7).size == (64, 64)
    with pytest.raises(RunFailed, match=r"image 7 cannot be read: a/b\.jpg: ."):
        decode(whole[: int(len(whole) * rest)], "a/b.jpg", 7)


def test_defaults():
    source = Source()
    assert (source.classes, source.labels, source.labelled, source.stream) == (None, None, True, False)
    assert source.name(3) == "sample 3"
    with pytest.raises(NotImplementedError):
        len(source)
    with pytest.raises(NotImplementedError):
        source[0]
