"""The specs in docs/methods/schemes.md train: made small, and each chain from its last spec."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdcore import run
from kdcore.options import Schedule

PAGE = "docs/methods/schemes.md"


@pytest.fixture(scope="module")
def folder(blocks_of, tmp_path_factory) -> Path:
    """The page's specs of the digits, with few samples and narrow networks."""
    pytest.importorskip("sklearn")
    made: Path = tmp_path_factory.mktemp("schemes")
    for block in blocks_of(PAGE):
        spec = json.loads(block.text) if block.file else {}
        if spec.get("data", {}).get("dataset") == "digits":
            spec["data"] |= {"train_samples": 20, "eval_samples": 10, "workers": 0}
            spec["train"] |= {"batch_size": 10}
            spec["student"]["options"] = {"channels": [4, 4, 8, 8]}
            (made / block.file).write_text(json.dumps(spec), encoding="utf-8")
    return made


def shortened(folder: Path, *names: str) -> None:
    """One epoch for each of these specs; those with a schedule keep the epochs that it counts."""
    for name in names:
        spec = json.loads((folder / f"{name}.json").read_text("utf-8"))
        if "schedule" not in spec["distiller"]:
            spec["train"]["epochs"] = 1
        (folder / f"{name}.json").write_text(json.dumps(spec), encoding="utf-8")


@pytest.mark.parametrize(
    ("last", "before"),
    [
        ("schemes-generation-2", ["schemes-generation-1", "schemes-teacher"]),
        ("schemes-tf-kd-self", ["schemes-teacher"]),
        ("schemes-assisted", ["schemes-assistant", "schemes-teacher"]),
        ("schemes-early-stop", ["schemes-teacher"]),
        ("schemes-annealing", ["schemes-teacher"]),
    ],
)
def test_the_last_spec_trains_the_whole_chain(folder, last, before):
    shortened(folder, last, *before)
    result = run(folder / f"{last}.json", quiet=True)
    assert result.summary["status"] == "finished"
    for student, teacher in zip([last, *before], before, strict=False):
        spec = json.loads((folder / "runs" / student / "spec.json").read_text("utf-8"))
        assert Path(spec["teacher"]["run"]).stem == teacher
        assert (folder / "runs" / teacher / "student").is_dir()
    taught = [record["terms"]["kd"] > 0 for record in result.metrics]
    assert taught == [factor > 0 for factor in factors(folder, last)]


def test_the_vanilla_spec_trains_with_its_recipe(folder, blocks_of):
    (text,) = [block.text for block in blocks_of(PAGE) if block.file == "schemes-vanilla.json"]
    shortened(folder, "schemes-teacher")
    teacher = json.loads((folder / "schemes-teacher.json").read_text("utf-8"))
    spec = json.loads(text) | {"data": teacher["data"], "student": teacher["student"]}
    spec["teacher"] = {"run": "schemes-teacher.json"}
    spec |= {"train": teacher["train"], "scheduler": {"warmup_epochs": 0}}
    (folder / "schemes-vanilla.json").write_text(json.dumps(spec), encoding="utf-8")
    result = run(folder / "schemes-vanilla.json", quiet=True)
    assert result.summary["status"] == "finished"
    made = json.loads((folder / "runs" / "schemes-vanilla" / "spec.json").read_text("utf-8"))
    kd = made["distiller"]
    assert (kd["temperature"], kd["weight"], made["task"]["weight"]) == (1.0, 1.0, 1.0)
    assert (made["task"]["loss"], made["optimizer"]["name"], made["data"]["cutmix"]) == ("bce", "lamb", 1.0)


def factors(folder: Path, name: str) -> list[float]:
    """The factor of the distiller in each epoch."""
    spec = json.loads((folder / f"{name}.json").read_text("utf-8"))
    distiller = spec["distiller"]
    given = distiller.get("schedule", {}) if isinstance(distiller, dict) else {}
    schedule = Schedule.model_validate(given)
    return [schedule.factor(epoch, spec["train"]["epochs"]) for epoch in range(spec["train"]["epochs"])]


def test_the_schedules_are_what_the_page_says(folder):
    assert factors(folder, "schemes-early-stop") == [1, 1, 1, 0]
    assert factors(folder, "schemes-annealing") == pytest.approx([1, 1, 2 / 3, 1 / 3])
