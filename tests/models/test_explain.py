"""What constructors that check their arguments with pydantic say, at the option that is to blame."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator, validate_call

from kdcore import UserError
from kdcore.models.explain import explained, parameters_of


@validate_call
def build(
    num_classes: int,
    *,
    width: int = Field(default=4, ge=1),
    kind: Literal["A", "B"] = "A",
    sizes: tuple[int, ...] = (),
) -> None:
    """A model's target."""


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 4
    depth: int = 1

    @model_validator(mode="after")
    def _together(self):
        if self.depth > self.width:
            raise ValueError("depth is above width")
        return self


def problems(call, **options):
    with (
        pytest.raises(UserError) as caught,
        explained("nets/net", options, "student", lambda _: ["width", "kind"]),
    ):
        call(**options)
    return {found.where: found for found in caught.value.problems}


def test_every_option_has_its_own_problem():
    found = problems(lambda **options: build(10, **options), width=0, kind="C", sizes=[1, "x"])
    assert found.keys() == {"student.options.width", "student.options.kind", "student.options.sizes[1]"}
    assert found["student.options.width"].message == "it must be 1 or more"
    assert found["student.options.width"].value == 0
    assert (found["student.options.kind"].value, found["student.options.kind"].allowed) == ("C", "'A' or 'B'")


def test_an_unknown_option_of_a_function():
    (found,) = problems(lambda **options: build(10, **options), widht=3).values()
    assert (found.where, found.nearest) == ("student.options.widht", "width")
    assert (found.message, found.allowed) == ("nets/net has no such option", "kind, width")


def test_an_unknown_option_of_a_model():
    found = problems(lambda **options: Options(**options), widht=3, depth="deep")
    assert found["student.options.widht"].nearest == "width"
    assert found["student.options.depth"].value == "deep"


def test_options_that_do_not_go_together():
    (found,) = problems(lambda **options: Options(**options), width=1, depth=2).values()
    assert (found.where, found.message) == ("student.options", "depth is above width")


def test_the_names_of_a_checked_function_are_known():
    assert parameters_of(build) == ["num_classes", "width", "kind", "sizes"]
