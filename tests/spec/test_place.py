import pytest

from kdcore.spec.place import place, within


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("student", "model"), "student.model"),
        (("distiller", 1, "alpha"), "distiller[1].alpha"),
        (("student", "options", "a.b"), 'student.options["a.b"]'),
        (("$x",), "$x"),
        ((), ""),
    ],
)
def test_place(path, text):
    assert place(path) == text


def test_long_keys_are_cut():
    assert len(place(("k" * 1000,))) == 60


def test_within():
    assert within("train.epochs", "train")
    assert within("distiller[1].alpha", "distiller[1]")
    assert within("train", "train")
    assert not within("trainer", "train")
    assert not within("train", "train.epochs")
