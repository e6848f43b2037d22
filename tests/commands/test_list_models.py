"""`list_models`: timm's models and those of plugins."""

from __future__ import annotations

import timm

import kdcore


def names(*arguments, **options):
    return [model.name for model in kdcore.list_models(*arguments, **options)]


def test_all_models_of_timm():
    assert set(timm.list_models()) <= set(names())
    found = next(model for model in kdcore.list_models() if model.name == "resnet18")
    assert isinstance(found, kdcore.ListedModel)
    assert (found.name, found.source, found.summary) == ("resnet18", "timm", "")
    assert "a1_in1k" in found.pretrained


def test_wildcards_are_those_of_timm():
    assert names("test_*") == timm.list_models("test_*")
    assert set(timm.list_models("resnet*t")) <= set(names("resnet*t"))
    assert names("RESNET10*") == names("resnet10*")


def test_without_wildcards_a_part_of_the_name_is_enough():
    assert {"resnet18", "seresnet18", "resnet18d"} <= set(names("resnet18"))


def test_numbers_are_sorted_by_their_value():
    found = names("resnet*")
    assert found.index("resnet18") < found.index("resnet101")


def test_only_models_with_weights():
    found = {model.name for model in kdcore.list_models("test_*", pretrained=True)}
    assert found == {name.partition(".")[0] for name in timm.list_pretrained("test_*")}
    assert all(model.pretrained for model in kdcore.list_models(pretrained=True))


def test_tags():
    (found,) = kdcore.list_models("resnet18.a*")
    assert found.name == "resnet18"
    assert set(found.pretrained) == {tag for tag in found.pretrained if tag.startswith("a")} != set()


def test_no_such_model():
    assert kdcore.list_models("no-such-model") == ()
