"""A pydantic model's options in a few words."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from kdcore import DistillerOptions
from kdcore.cli.options_table import as_table
from kdcore.commands.show.options import options_of


class Inner(BaseModel):
    size: int = 1


class Everything(DistillerOptions):
    needed: int = Field(ge=1, le=9, description="Has to be given.")
    maybe: float | None = Field(None, description="A number or nothing.")
    many: tuple[int, ...] = Field((1, 2), description="Some.")
    flag: bool = Field(False, description="Yes or no.")
    one: Literal["a"] = Field("a", description="Only this.")
    inner: Inner = Field(default_factory=Inner, description="More of them.")


def test_types_in_a_few_words():
    found = {option.name: option for option in options_of(Everything)}
    assert {name: option.type for name, option in found.items()} == {
        "weight": "float >= 0",
        "needed": "int >= 1, <= 9",
        "maybe": "float | null",
        "many": "list of int",
        "flag": "bool",
        "one": '"a"',
        "inner": "object",
    }
    assert [name for name, option in found.items() if option.required] == ["needed"]
    assert (found["many"].default, found["many"].meaning) == ([1, 2], "Some.")
    assert "(required)" in "\n".join(as_table(tuple(found.values())))
