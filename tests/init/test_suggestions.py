"""What `kd init` suggests with the first packages installed: a table from when the core had this knowledge.

`pairs` has "student < teacher" and the list of `distillers` that is suggested for them; `recipes` what is suggested
with any distiller, and with one that has a recipe of its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kd_init.families import family_of
from kd_init.suggest import distillers, recipe

from kdcore import DistillerEntry
from kdcore.plugin import get_plugins

TABLE = json.loads(Path(__file__).with_name("suggestions.json").read_text())
FIRST = ("kd-classic", "kd-feature", "kd-ofa")
NAMES = [item.qualified for item in get_plugins().all(DistillerEntry) if item.plugin.distribution in FIRST]


@pytest.mark.parametrize(("pair", "kind"), TABLE["pairs"].items())
def test_distillers_for_a_pair(pair, kind):
    student, teacher = pair.split(" < ")
    family = None if teacher == "None" else family_of(teacher)
    suited = distillers(family_of(student), family, get_plugins())
    assert [[item.value, item.why] for item in suited] == TABLE["distillers"][kind]


@pytest.mark.parametrize(("case", "found"), TABLE["recipes"].items())
def test_recipes(case, found):
    student, images, size = case.split(", ")
    side = images.split()[2]
    for name in NAMES:
        suggested = recipe(
            None if side == "None" else int(side),
            int(size.split()[2]),
            family_of(student),
            get_plugins(),
            quick=False,
            distiller=name,
        )
        assert [suggested.value, suggested.why] == found.get(name.partition("/")[2], found["any"])
