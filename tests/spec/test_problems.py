"""Every kind of pydantic's errors in plain words."""

import re

import pytest

JARGON = re.compile(
    r"[Ii]nput should|[Ii]nput is|valid (integer|string|number|boolean|dictionary|list|tuple)|model_type|function-|"
    r"Value error|Extra inputs|pydantic|dict\[|tuple\[|literal\[|constrained"
)

CASES = [
    (
        {"train": {"epochs": "ten"}},
        "train.epochs",
        "a whole number is wanted, not text",
        "a whole number, 1 or more",
    ),
    ({"train": {"epochs": "10"}}, "train.epochs", "a whole number is wanted, not text", None),
    ({"train": {"epochs": True}}, "train.epochs", "a whole number is wanted, not true or false", None),
    ({"train": {"epochs": 1.5}}, "train.epochs", "a whole number is wanted, not a number", None),
    ({"train": {"epochs": None}}, "train.epochs", "a whole number is wanted, not null", None),
    ({"train": {"epochs": [3]}}, "train.epochs", "a whole number is wanted, not a list", None),
    ({"train": {"epochs": 0}}, "train.epochs", "it must be 1 or more", "a whole number, 1 or more"),
    ({"train": {"ema": 1}}, "train.ema", "it must be below 1", "a number above 0 and below 1, or null"),
    ({"train": {"ema": "x"}}, "train.ema", "a number or null is wanted, not text", None),
    ({"optimizer": {"lr": 0}}, "optimizer.lr", "it must be above 0", "a number above 0"),
    ({"optimizer": {"lr": "5e-2"}}, "optimizer.lr", "a number is wanted, not text", None),
    ({"optimizer": {"lr": False}}, "optimizer.lr", "a number is wanted, not true or false", None),
    (
        {"data": {"augment": {"hflip": 2}}},
        "data.augment.hflip",
        "it must be 1 or less",
        "a number from 0 to 1",
    ),
    (
        {"data": {"augment": {"crop": "padd"}}},
        "data.augment.crop",
        "it is not one of the choices",
        "'pad', 'none'",
    ),
    (
        {"data": {"channels": True}},
        "data.channels",
        "a whole number is wanted",
        "a whole number from 1 to 1024",
    ),
    (
        {"data": {"channels": 3.0}},
        "data.channels",
        "a whole number is wanted",
        "a whole number from 1 to 1024",
    ),
    (
        {"data": {"dataset": "x" * 200_000}},
        "data.dataset",
        "no name or path has 200,000 characters (at most 4,096)",
        None,
    ),
    (
        {"data": {"augment": 3}},
        "data.augment",
        "an object is wanted, not a whole number",
        "an object of crop",
    ),
    ({"data": []}, "data", "an object is wanted, not a list", None),
    ({"data": {"augment": {"scale": [1]}}}, "data.augment.scale", "a list of 2 numbers is wanted", None),
    (
        {"data": {"augment": {"scale": [1, 2, 3]}}},
        "data.augment.scale",
        "too long (at most 2)",
        "a list of 2 numbers",
    ),
    ({"data": {"augment": {"scale": [1, 0.5]}}}, "data.augment.scale", "the smaller first", None),
    (
        {"data": {"augment": {"scale": ["a", 1]}}},
        "data.augment.scale[0]",
        "a number is wanted, not text",
        "a number",
    ),
    (
        {"data": {"augment": {"scale": 1}}},
        "data.augment.scale",
        "a list of 2 numbers is wanted, not a whole",
        None,
    ),
    ({"data": {"mean": []}}, "data.mean", "one number, or one for each channel", None),
    ({"data": {"mean": ["x"]}}, "data.mean[0]", "a number is wanted, not text", None),
    ({"data": {"std": [0.0]}}, "data.std", "above 0", None),
    ({"data": {"dataset": ""}}, "data.dataset", "must not be empty", None),
    ({"data": {"dataset": "a\0b"}}, "data.dataset", "zero byte", None),
    ({"student": {"model": 5}}, "student.model", "text is wanted, not a whole number", None),
    (
        {"student": {"pretrained": 1, "model": "resnet18.tv_in1k"}},
        "student.pretrained",
        "true or false is wanted",
        None,
    ),
    (
        {"student": {"options": "x", "model": "resnet34"}},
        "student.options",
        "an object is wanted, not text",
        None,
    ),
    ({"student": {"small_input": True}}, "student.model", "this is missing", "text"),
    ({"student": None}, "student", "an object is wanted, not null", "an object of model"),
    ({"task": None}, "task", "an object is wanted, not null", None),
    (
        {"task": {"label_smoothing": 1}},
        "task.label_smoothing",
        "it must be below 1",
        "a number, 0 or more and below 1",
    ),
    ({"teacher_cache": {"dtype": "float16"}}, "teacher_cache.augmentations", "this is missing", "1 or more"),
    ({"teacher_cache": True}, "teacher_cache", "an object or null is wanted", "augmentations, dtype"),
    ({"name": "../../etc"}, "name", "another form", "letters, digits"),
    ({"name": "x" * 200}, "name", "too long (at most 128 characters)", None),
    ({"seed": 2**63}, "seed", "too large", None),
    ({"seed": -1}, "seed", "it must be 0 or more", "a whole number, 0 or more"),
    ({"distiller": []}, "distiller", "too short", "a distiller's name"),
    ({"distiller": 3}, "distiller", "another type is wanted, not a whole number", "a distiller's name"),
    ({"distiller": {"alpha": 1}}, "distiller.name", "this is missing", None),
    (
        {"distiller": ["toy", {"alpha": 1}], "task": {"weight": 1}},
        "distiller[1].name",
        "this is missing",
        None,
    ),
    ({"distiller": ["toy", None], "task": {"weight": 1}}, "distiller[1]", "wanted, not null", None),
    ({"scheduler": {"decay_milestones": [3, 2]}}, "scheduler.decay_milestones", "rising epochs", None),
]


@pytest.mark.parametrize(("sections", "where", "message", "allowed"), CASES)
def test_plain_words(good, problems_of, sections, where, message, allowed):
    found = problems_of(good(**sections))
    assert list(found) == [where]
    problem = found[where]
    assert message in problem.message
    assert not JARGON.search(str(problem))
    if allowed is not None:
        assert allowed in problem.allowed


def test_what_a_choice_was_meant_to_be(good, problems_of):
    assert problems_of(good(train={"precision": "bf61"}))["train.precision"].nearest == "bf16"
    assert problems_of(good(train={"precision": "quarter"}))["train.precision"].nearest is None


def test_unknown_keys_near_far_and_elsewhere(good, problems_of):
    found = problems_of(good(optimzer={}, train={"epoch": 3, "zzz": 1}, lr=0.1, crop="pad", model="x"))
    assert set(found) == {"train.epoch", "train.zzz", "optimzer", "lr", "crop", "model"}
    assert found["optimzer"].nearest == "optimizer"
    assert found["train.epoch"].nearest == "epochs"
    assert found["train.zzz"].nearest is None
    assert "accumulate, batch_size" in found["train.zzz"].allowed
    assert "'optimizer.lr'" in found["lr"].hint
    assert "'data.augment.crop'" in found["crop"].hint
    assert found["model"].hint == "did you mean 'teacher.model' or 'student.model'?"


def test_keys_with_odd_characters(good, problems_of):
    assert list(problems_of(good(train={"a.b\nc": 1}))) == ['train["a.b\\nc"]']


def test_options_of_a_distiller(good, problems_of):
    options = {
        "alpha": -1,
        "mode": "sof",
        "sizes": [1, "2"],
        "flag": "yes",
        "scale": "aut",
        "inner": {"depth": 0},
    }
    found = problems_of(good(distiller={"name": "toy", **options, "weigth": 1, "weight": True}))
    assert set(found) == {
        "distiller.alpha", "distiller.mode", "distiller.sizes[1]", "distiller.flag", "distiller.scale",
        "distiller.inner.depth", "distiller.weigth", "distiller.weight",
    }  # fmt: skip
    for problem in found.values():
        assert not JARGON.search(str(problem))
    assert found["distiller.mode"].nearest == "soft"
    assert found["distiller.weigth"].nearest == "weight"
    assert found["distiller.weigth"].message == "distiller 'toy' has no key 'weigth'"
    assert found["distiller.scale"].allowed == "a number, or 'auto'"
    assert found["distiller.scale"].message == "it is not an allowed value"
    assert found["distiller.inner.depth"].allowed == "a whole number, 1 or more"


def test_options_in_a_list_have_its_number(good, problems_of):
    found = problems_of(good(distiller=["still", {"name": "toy", "alpha": "x"}], task={"weight": 1}))
    assert list(found) == ["distiller[1].alpha"]
