"""The plugin keeps kdcore's rules, and the README says what it adds."""

from __future__ import annotations

import json
import re
from pathlib import Path

from kd_dev.testing import (
    adapter_checks,
    command_checks,
    dataset_checks,
    distiller_checks,
    exporter_checks,
    launcher_checks,
    metric_checks,
    parametrize_with_checks,
    plugin_checks,
    recipe_checks,
    run_hook_checks,
    section_checks,
    transform_checks,
)

from kd_toolbox import options
from kd_toolbox.model import PlainNet

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def tiny():
    return PlainNet(num_classes=5, in_chans=3, width=4)


@parametrize_with_checks(
    [
        *plugin_checks("kd-toolbox"),
        *distiller_checks("logit-cosine"),
        *adapter_checks("plain-net", models=[(tiny, 36)]),
        *dataset_checks("stripes"),
        *transform_checks("leaky"),
        *command_checks("csv"),
        *recipe_checks("toolbox-quick"),
        *exporter_checks("npz"),
        *metric_checks("overconfidence"),
        *section_checks("confusions"),
        *launcher_checks("nice"),
        *run_hook_checks("kd-toolbox"),
    ]
)
def test_conformance(check):
    check()


def test_the_readmes_table_is_what_it_adds(kd):
    (plugin,) = json.loads(kd("plugins", "kd-toolbox", "--json").out)
    assert (plugin["status"], plugin["heavy"]) == ("loaded", [])
    table = README.split("| role | name |")[1].split("\n\n")[0]
    said = set(re.findall(r"^\| ([a-z ]+) \| `([\w-]+)` \|", table, flags=re.MULTILINE))
    assert len(said) == 11
    for role, name in said:
        assert plugin[f"{role.replace(' ', '_')}s"] == [name]


def test_the_readmes_options_are_those_of_the_models():
    models = {
        "logit-cosine": options.LogitCosineOptions,
        "stripes": options.StripesOptions,
        "plain-net": options.PlainNetOptions,
        "leaky": options.LeakyOptions,
        "nice": options.NiceOptions,
    }
    said = re.findall(r"^\| `([\w-]+)` \| `(\w+)` \| `([^`]+)` \|", README, flags=re.MULTILINE)
    true = [
        (name, field, value)
        for name, model in models.items()
        for field, value in json.loads(model().model_dump_json()).items()
    ]
    assert [(name, field, json.loads(value)) for name, field, value in said] == true
