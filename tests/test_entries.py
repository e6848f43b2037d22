"""What a record says about a distiller beyond its code: its form is checked when it is created."""

from __future__ import annotations

import pytest

from kdcore import DistillerEntry, Suits

FIELDS = {"name": "toy", "kind": "logit", "summary": "s", "target": "a:B", "options": "a:C"}


def test_the_fields_of_a_distiller_are_as_they_were():
    entry = DistillerEntry("toy", "logit", "s", "a:B", "a:C", None, 0.5, "loss")
    assert (entry.task_weight, entry.formula, entry.suits, entry.recipes, entry.settings) == (
        0.5,
        "loss",
        (),
        (),
        None,
    )


def test_what_a_paper_says():
    suits = Suits("any", "the plain method", rank=90)
    entry = DistillerEntry(
        **FIELDS, suits=[suits], recipes=["fast"], settings="kd_mine.data:settings/toy.toml"
    )
    assert (entry.suits, entry.recipes) == ((suits,), ("fast",))
    assert hash(entry) == hash(
        DistillerEntry(**FIELDS, suits=(suits,), recipes=("fast",), settings=entry.settings)
    )
    assert Suits("same family", "why").rank == 50


def test_needs_have_one_order():
    assert DistillerEntry(**FIELDS).needs is None
    assert DistillerEntry(**FIELDS, needs=[]).needs == ()
    assert DistillerEntry(**FIELDS, needs=["labels", "teacher"]).needs == ("teacher", "labels")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"suits": "any"}, "suits has 'any'; it must have kdcore.Suits records"),
        ({"suits": ["any"]}, "suits has 'any'; it must have kdcore.Suits records"),
        ({"suits": 5}, "suits has 5; it must have kdcore.Suits records"),
        ({"suits": [Suits("any", "a"), Suits("any", "b")]}, "two records for 'any'; it must have one"),
        ({"recipes": "fast"}, "recipes must be a sequence of strings, not 'fast'"),
        ({"recipes": [5]}, "recipes has 5; it must have strings"),
        (
            {"settings": "toy.toml"},
            "settings is 'toy.toml'; it must be 'package.module:folder/file.toml', or None",
        ),
        ({"settings": "kd_mine:../toy.toml"}, "it must be 'package.module:folder/file.toml', or None"),
        ({"settings": 5}, "settings is 5; it must be"),
        ({"needs": "labels"}, "needs must be a sequence of strings, not 'labels'"),
        ({"needs": ["gpu"]}, "needs has 'gpu'; it must have some of teacher, several-teachers"),
        ({"needs": [5]}, "needs has 5; it must have strings"),
    ],
)
def test_a_wrong_field_is_refused(fields, words):
    with pytest.raises(ValueError, match="toy") as caught:
        DistillerEntry(**FIELDS, **fields)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("every", "why"), "pair is 'every'; it must be one of any, same family, other family, other kind"),
        (("any", ""), "why must be one line of text, not ''"),
        (("any", "a\nb"), "why must be one line of text"),
        (("any", 5), "why must be one line of text, not 5"),
        (("any", "why", 1.5), "rank must be an integer, not 1.5"),
        (("any", "why", True), "rank must be an integer, not True"),
    ],
)
def test_a_wrong_record_is_refused(arguments, words):
    with pytest.raises(ValueError, match="Suits") as caught:
        Suits(*arguments)
    assert words in str(caught.value)
