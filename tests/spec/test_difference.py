from __future__ import annotations

from typing import Any

import pytest

from kdcore.spec.difference import NO_VALUE, changes_results, neutral_fields, same_results, spec_changes


def test_the_fields_that_change_no_result_are_marked_where_they_are_declared():
    assert neutral_fields() == {
        "name",
        "metrics",
        "output",
        "recipe",
        "report",
        "task.top_k",
        "trackers",
        "data.workers",
        "data.in_memory",
        "checkpoint.minutes",
        "teacher_cache.folder",
        "train.fsdp",
        "train.grad_checkpointing",
    }


@pytest.mark.parametrize("place", ["recipe.applied", "trackers[0].project", "trackers.name", "data.workers"])
def test_what_is_below_such_a_field_changes_no_result_either(place: str):
    assert not changes_results(place)


@pytest.mark.parametrize(
    "place", ["seed", "data", "data.dataset", "student.model", "distiller.name", "names"]
)
def test_all_other_fields_change_results(place: str):
    assert changes_results(place)


def test_the_difference_of_two_specs_has_places_and_values():
    one = {"seed": 0, "data": {"workers": 0, "mixup": 0.0}, "trackers": []}
    other = {
        "seed": 1,
        "data": {"workers": 4, "mixup": 0.2},
        "trackers": [{"name": "wandb"}],
        "task": {"weight": 0.5},
    }
    assert spec_changes(one, other) == [("data.mixup", 0.0, 0.2), ("seed", 0, 1), ("task.weight", None, 0.5)]
    assert not same_results(one, other)
    assert same_results(one, other, but=("data", "seed", "task"))
    assert not same_results(one, other, but=("data", "task"))
    assert same_results(one, other, but=("data.mixup", "seed", "task.weight"))
    assert not same_results(one, other, but=("data.mix", "seed", "task.label_smoothing"))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"train": {"epochs": 3}}, {"train": {"epochs": 3, "keep": "last"}}),
        (
            {"data": {"dataset": "digits"}},
            {"data": {"dataset": "digits", "sampling": "shuffled"}, "task": {}},
        ),
        ({"teacher": [{"model": "m"}]}, {"teacher": [{"model": "m", "options": {}, "learns": False}]}),
    ],
)
def test_a_field_that_an_earlier_version_did_not_have_has_its_default(
    earlier: dict[str, Any], later: dict[str, Any]
):
    assert spec_changes(earlier, later) == spec_changes(later, earlier) == []


def test_another_value_than_the_default_is_a_difference():
    assert spec_changes({"train": {}}, {"train": {"keep": "best"}}) == [("train.keep", "last", "best")]


def test_no_cache_is_another_spec_than_a_cache_with_the_defaults():
    cached = {"teacher_cache": {"augmentations": 2, "dtype": "float16"}}
    assert ("teacher_cache.augmentations", NO_VALUE, 2) in spec_changes({"teacher_cache": None}, cached)
