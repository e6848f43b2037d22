import pytest

from kdcore.spec.overrides import Overrides
from kdcore.spec.value_sources import Origins


def applied(spec, *texts):
    overrides = Overrides(texts, Origins())
    overrides.apply(spec)
    assert overrides.faults == []
    return spec


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1.5", 1.5),
        ("a=5e-2", 0.05),
        ("a=true", True),
        ("a=null", None),
        ("a=resnet18", "resnet18"),
        ('a="3"', "3"),
        ("a=[1, 2]", [1, 2]),
        ('a={"b": 1}', {"b": 1}),
        ("a=", ""),
        ("a=x=y", "x=y"),
        ("a={broken", "{broken"),
        ("a= 2 ", 2),
    ],
)
def test_values(text, value):
    found = applied({}, text)["a"]
    assert found == value
    assert type(found) is type(value)


def test_paths():
    assert applied({"train": {"epochs": 1}}, "train.epochs=2", "data.augment.hflip=0") == {
        "train": {"epochs": 2},
        "data": {"augment": {"hflip": 0}},
    }
    assert applied({"teacher": None}, "teacher.model=x") == {"teacher": {"model": "x"}}
    assert applied({}, "seed=1", "seed=2") == {"seed": 2}


@pytest.mark.parametrize("key", ["distiller.1.alpha", "distiller[1].alpha"])
def test_items_by_number(key):
    spec = {"distiller": ["kd", {"name": "dkd", "alpha": 1}]}
    assert applied(spec, f"{key}=2")["distiller"] == ["kd", {"name": "dkd", "alpha": 2}]


def test_a_distiller_given_by_name_becomes_an_object():
    assert applied({"distiller": "dkd"}, "distiller.alpha=2")["distiller"] == {"name": "dkd", "alpha": 2}
    assert applied({"distiller": ["kd", "dkd"]}, "distiller.1.beta=2")["distiller"] == [
        "kd",
        {"name": "dkd", "beta": 2},
    ]


def test_a_single_distiller_is_number_0():
    assert applied({"distiller": "dkd"}, "distiller.0.alpha=2")["distiller"] == {"name": "dkd", "alpha": 2}
    assert applied({"distiller": {"name": "dkd"}}, "distiller.0=kd")["distiller"] == "kd"


@pytest.mark.parametrize(
    ("spec", "text", "words"),
    [
        ({}, "epochs", "no '='"),
        ({}, "=1", "empty"),
        ({}, "train..epochs=1", "empty"),
        ({}, ".epochs=1", "empty"),
        ({"seed": 1}, "seed.low=1", "seed is 1, which has no keys"),
        ({"student": {"model": "x"}}, "student.model.name=1", 'student.model is "x"'),
        ({"distiller": ["kd"]}, "distiller.alpha=1", "distiller is a list"),
        ({"distiller": ["kd", "dkd"]}, "distiller.2.alpha=1", "distiller.0 to distiller.1"),
        ({"distiller": []}, "distiller.0.alpha=1", "it is empty"),
        ({"distiller": [None]}, "distiller.0.alpha=1", "distiller[0] is null"),
        ({}, "seed=NaN", "finite"),
        ({}, "seed=1e999", "finite"),
        ({}, f"seed={10**30}", "too large"),
        ({}, 'data={"mixup":0.2,"mixup":0.4}', "data.mixup: this key stands twice"),
        ({}, 'data={"augment":{"hflip":0,"vflip":0,"hflip":1}}', "data.augment.hflip: this key stands twice"),
    ],
)
def test_what_cannot_be_set(spec, text, words):
    overrides = Overrides([text], Origins())
    overrides.apply(spec)
    (fault,) = overrides.faults
    assert fault.problem.where == "--set"
    assert fault.problem.value == text
    assert words in str(fault.problem)


def test_the_flag_is_told_beside_what_it_set():
    origins = Origins()
    overrides = Overrides(["foo.bar=1", "train.epochs=0", "x=" + "y" * 100], origins)
    overrides.apply({"train": {"batch_size": 0}})
    assert origins.told("foo") == "foo (--set foo.bar=1)"
    assert origins.told("train.epochs") == "train.epochs (--set train.epochs=0)"
    assert origins.told("train.batch_size") == "train.batch_size"
    assert origins.told("foot") == "foot"
    assert len(origins.told("x")) < 80


def test_a_tracker_that_is_a_name_takes_options():
    spec = applied({"trackers": ["wandb"]}, "trackers.0.project=ours")
    assert spec == {"trackers": [{"name": "wandb", "project": "ours"}]}
