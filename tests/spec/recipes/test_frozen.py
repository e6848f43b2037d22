"""What a spec becomes with each recipe and each distiller: a table, so that no value changes unnoticed.

The recipes are those from when the core had all of them.
`all` has what the recipe changes with any distiller, the other keys what one distiller has above that.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from kdcore import DistillerEntry
from kdcore.plugins import get_plugins
from kdcore.spec.load import load_dict, resolved_dict

TABLE = json.loads(Path(__file__).with_name("frozen.json").read_text())
CLASSIC = {
    f"kd-classic/{name}"
    for name in [
        "dhkd",
        "dist",
        "dkd",
        "eakd",
        "kd",
        "luminet",
        "mlkd",
        "nkd",
        "normkd",
        "rld",
        "uskd",
        "wkd",
        "wsld",
    ]
}
FEATURE = {f"kd-feature/{name}" for name in ("crd", "mgd", "ofd", "srrl")}
DISTILLERS = [item.qualified for item in get_plugins().all(DistillerEntry)]


def resolved(recipe, distiller):
    spec = {"student": {"model": "resnet18"}, "teacher": {"model": "resnet34"}, "distiller": distiller}
    if distiller == "kdcore/vanilla":
        del spec["teacher"]
    values = flat(resolved_dict(load_dict(spec | {"recipe": recipe}, base=Path.cwd())))
    return {key: value for key, value in values.items() if key.partition(".")[0] != "recipe"}


def flat(values, above=""):
    found = {}
    for key, value in values.items():
        found |= (
            flat(value, f"{above}{key}.") if isinstance(value, dict) and value else {f"{above}{key}": value}
        )
    return found


def test_the_table_has_all_methods_whose_options_a_recipe_changes():
    assert len(TABLE) == 11
    named = {distiller for parts in TABLE.values() for distiller in parts} - {"all"}
    assert named == CLASSIC | FEATURE | {"kd-ofa/ofa"}
    assert named <= set(DISTILLERS)


@pytest.mark.parametrize(("recipe", "distiller"), list(product(TABLE, DISTILLERS)))
def test_a_recipe_gives_a_distiller_the_frozen_values(recipe, distiller):
    changed = TABLE[recipe]["all"] | TABLE[recipe].get(distiller, {})
    without = resolved(None, distiller)
    # an empty object that gets keys is none any more
    gone = {key for key in without if any(other.startswith(f"{key}.") for other in changed)}
    kept = {key: value for key, value in without.items() if key not in gone}
    assert resolved(recipe, distiller) == kept | changed
