"""The plugin and its distiller keep kdcore's rules, and the README's specs run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import kdcore
import pytest
from kdcore.testing import distiller_checks, parametrize_with_checks, plugin_checks
from PIL import Image

from kd_reviewkd.options import ReviewKDOptions

HOME = Path(__file__).parent.parent
README = (HOME / "README.md").read_text(encoding="utf-8")
SPECS = sorted((HOME / "specs").glob("*.json"))


@parametrize_with_checks(plugin_checks("kd-reviewkd"))
def test_the_plugin(check):
    check()


@parametrize_with_checks(distiller_checks("reviewkd"))
def test_the_distiller(check):
    check()


# the rules that take longest say nothing new of other options
OTHER = distiller_checks("reviewkd", options={"stages": [[1, 2], 4], "embedding": False, "warmup_epochs": 0})
SLOW = {"preflight", "whole_run", "other_family", "two_processes"}


@parametrize_with_checks([check for check in OTHER if check.id not in SLOW])
def test_the_distiller_of_stages_alone(check):
    check()


def test_the_readmes_table_of_options_is_what_there_is():
    said = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", README, flags=re.MULTILINE))
    true = json.loads(ReviewKDOptions().model_dump_json())
    assert {name: json.loads(value) for name, value in said.items()} == true


def test_the_readmes_specs_are_those_in_the_folder():
    assert [path.name for path in SPECS if f"specs/{path.name}" not in README] == []
    for path in SPECS:
        kdcore.RunSpec.model_validate_json(path.read_text())


@pytest.fixture
def pictures(tmp_path):
    """A folder of a few images of two classes."""
    for split in ("train", "test"):
        for number in range(8):
            folder = tmp_path / "pictures" / split / f"class{number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (200 * (number % 2), 20 * number, 30)).save(folder / f"{number}.png")
    return tmp_path / "pictures"


def test_its_spec_runs(pictures, tmp_path):
    for path in SPECS:
        (tmp_path / path.name).write_text(path.read_text())
    data = json.dumps({"dataset": "pictures", "image_size": 32, "workers": 0})
    teacher = json.loads((tmp_path / "digits-teacher.json").read_text())
    teacher |= {"data": json.loads(data), "train": {"epochs": 1, "batch_size": 4}}
    (tmp_path / "digits-teacher.json").write_text(json.dumps(teacher))
    result = kdcore.run(
        tmp_path / "digits.json",
        overrides=[f"data={data}", "train.epochs=2", "train.batch_size=4"],
        quiet=True,
    )
    assert result.summary["status"] == "finished"
    first, second = result.metrics
    assert first["terms"].keys() == second["terms"].keys() == {"reviewkd"}
    assert first["terms"]["reviewkd"] > 0
    assert second["loss"] == pytest.approx(second["task_loss"] + second["terms"]["reviewkd"], rel=1e-4)
