import pytest
from pydantic import BaseModel, Field

from kdcore.spec.models import RunSpec
from kdcore.spec.wording import find, words

SCHEMA = RunSpec.model_json_schema()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("train", "epochs"), "a whole number, 1 or more"),
        (("seed",), "a whole number, 0 or more"),
        (("train", "ema"), "a number above 0 and below 1, or null"),
        (("data", "augment", "hflip"), "a number from 0 to 1"),
        (("optimizer", "lr"), "a number above 0"),
        (("optimizer", "momentum"), "a number, 0 or more and below 1"),
        (("student", "pretrained"), "true or false"),
        (("train", "precision"), "'fp32', 'bf16', 'fp16'"),
        (("data", "channels"), "a whole number from 1 to 1024"),
        (("data", "augment", "scale"), "a list of 2 numbers"),
        (("data", "augment", "scale", 1), "a number"),
        (("data", "mean"), "a list of numbers, or null"),
        (("scheduler", "decay_milestones"), "a list of whole numbers"),
        (("student", "options"), "an object"),
        (("teacher_cache",), "an object of augmentations, dtype, top_k, folder, or null"),
        (
            ("task",),
            "an object of kind, weight, label_smoothing, loss, class_weights, pos_weight, bce_threshold, focal_gamma, "
            "top_k, views",
        ),
        (("name",), "letters, digits, '_', '.' and '-', the first a letter or a digit"),
        (("distiller",), "a distiller's name, an object of 'name' and options, or a list of these"),
        (("distiller", "name"), "text"),
        (("distiller", 0, "name"), "text"),
        (("student", "nothing"), None),
        (("student", "model", "deeper"), None),
    ],
)
def test_words_of_the_run_spec(path, text):
    node = find(SCHEMA, path)
    assert (None if node is None else words(SCHEMA, node)) == text


def test_words_without_ranges():
    node = find(SCHEMA, ("train", "ema"))
    assert words(SCHEMA, node, ranges=False) == "a number or null"


def test_words_of_other_types():
    class Options(BaseModel):
        name: str = Field("a", pattern="^a+$")
        steps: list[list[int]] = []
        pair: tuple[int, str] = (1, "x")
        anything: object = None

    schema = Options.model_json_schema()
    found = {name: words(schema, find(schema, (name,))) for name in schema["properties"]}
    assert found == {
        "name": "text of the form ^a+$",
        "steps": "a list of a list of whole numbers",
        "pair": "a list of 2 whole numbers and text",
        "anything": "any value",
    }
