from __future__ import annotations

import pytest

from kdcore import UserError
from kdcore.spec.image_size import read_image_size, sides, size_text
from kdcore.spec.models import DataSpec, RunSpec

MODELS = {"student": {"model": "resnet18"}, "distiller": "vanilla"}


@pytest.mark.parametrize(
    ("given", "kept"), [(32, 32), ([48, 96], (48, 96)), ([32, 32], 32), ((16, 8), (16, 8)), (None, None)]
)
def test_a_side_or_height_and_width(given, kept):
    data = DataSpec(image_size=given)
    assert data.image_size == kept
    assert DataSpec.model_validate_json(data.model_dump_json()) == data


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (7, "each side must have 8 pixels or more"),
        ([48, 7], "each side must have 8 pixels or more"),
        ([32], "a whole number of pixels, or [height, width]"),
        ([3, 48, 96], "a whole number of pixels, or [height, width]"),
        (32.0, "a whole number of pixels, or [height, width]"),
        (True, "a whole number of pixels, or [height, width]"),
        ("48x96", "a whole number of pixels, or [height, width]"),
    ],
)
@pytest.mark.parametrize("section", ["data", "teacher"])
def test_other_sizes_are_one_problem_at_their_place(section, size, words):
    teacher = {"model": "resnet34", "image_size": size}
    sections = {"data": {"image_size": size}} if section == "data" else {"teacher": teacher}
    with pytest.raises(UserError) as caught:
        RunSpec(**MODELS, **sections)
    (problem,) = [one for one in caught.value.problems if one.where == f"{section}.image_size"]
    assert words in problem.message


def test_sizes_in_text():
    assert sides(32) == (32, 32)
    assert sides([48, 96]) == (48, 96)
    assert size_text(32) == "32"
    assert size_text((32, 32)) == "32"
    assert size_text((48, 96)) == "48x96"


@pytest.mark.parametrize(
    ("text", "size"), [("224", 224), ("48x96", (48, 96)), (" 48 X 96 ", (48, 96)), ("32x32", 32)]
)
def test_typed_sizes(text, size):
    assert read_image_size(text, "--image-size") == size


@pytest.mark.parametrize("text", ["", "big", "4", "48x", "48x4", "48x96x3", "-48x96", "1.5"])
def test_other_texts_are_no_sizes(text):
    with pytest.raises(UserError, match="--image-size: not an image size") as caught:
        read_image_size(text, "--image-size")
    assert "48x96" in str(caught.value)
