"""A tuning with real runs, which a launcher of this test trains in this process."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import kd_compare
import pytest
from kd_compare.tuning import tune as module
from kd_compare.tuning.default_search import _allowed, _dimension
from kd_compare.tuning.objective import final_score

from kdcore import DistillerEntry, JobEnd, LaunchJob, RunDirectory, UserError, validate
from kdcore.cli import main
from kdcore.plugin import get_plugins

pytest.importorskip("optuna", reason="kd tune needs the extra 'tune'")

NARROW = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


class InThisProcess:
    """Trains a run when it is started, which costs no import."""

    name = "here"

    def __init__(self) -> None:
        self.started: list[str] = []
        self._ends: list[JobEnd] = []

    def start(self, job: LaunchJob) -> str:
        self.started.append(" ".join((job.name, *job.arguments[2:])))
        with pytest.raises(SystemExit) as ended:
            main(job.arguments)
        self._ends.append(JobEnd(job.name, ended.value.code or 0))
        return job.name

    def attach(self, job: LaunchJob, handle: str) -> bool:
        return False

    def ended(self) -> list[JobEnd]:
        found, self._ends = self._ends, []
        return found

    def stop(self, names: Any) -> None:
        pass


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    data = {"dataset": "digits", "image_size": 16, "train_samples": 20, "eval_samples": 20, "workers": 0}
    values = {
        "data": data,
        "teacher": NARROW,
        "student": NARROW,
        "distiller": "kd",
        "train": {"epochs": 3, "batch_size": 10},
    }
    path = tmp_path / "base.json"
    path.write_text(json.dumps(values))
    return path


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> InThisProcess:
    found = InThisProcess()
    monkeypatch.setattr(module, "find_launcher", lambda *_: lambda setup: found)
    return found


def test_a_tuning_from_the_spec_to_the_final_comparison(spec: Path, launcher: InThisProcess):
    arguments: dict[str, Any] = {
        "search": ["distiller.temperature=1..8", "optimizer.lr=log(1e-3..1)"],
        "together": 2,
        "pruner": "median",
        "constraints": ["student.parameters<=1e9", "student.latency_ms<=1e6"],
        "storage": "journal",
        "quiet": True,
    }
    result = kd_compare.tune(spec, trials=2, final_seeds=0, **arguments)
    folder = spec.parent / "runs" / "tune-base"
    assert (result.status, result.objective, result.directory) == ("finished", "top1", folder)
    assert [row.status for row in result.trials] == ["finished", "finished"]
    assert result.trials[0].values == {"distiller.temperature": 4.0, "optimizer.lr": 0.05}  # the spec's own
    assert all(row.feasible and set(row.after) == {1, 2} for row in result.trials)
    assert launcher.started == [
        f"trial-{number}-seed0{until}" for until in (" --until 1", " --until 2", "") for number in (0, 1)
    ]
    (latency,) = json.loads((folder / "latency.json").read_text()).values()  # of both trials
    assert 0 < latency["milliseconds"] < 1e5
    best = result.best_trial
    assert best is not None
    assert best.score == max(row.score or 0 for row in result.trials)
    tuned = json.loads((folder / "best.json").read_text())
    assert tuned["distiller"]["temperature"] == best.values["distiller.temperature"]
    assert tuned["optimizer"]["lr"] == best.values["optimizer.lr"]
    assert validate(folder / "best.json").warnings is not None
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert [float(row["score"]) for row in rows] == [row.score for row in result.trials]

    before = len(launcher.started)
    again = kd_compare.tune(spec, trials=2, final_seeds=0, **arguments)
    assert len(launcher.started) == before  # nothing is repeated
    assert again.trials == result.trials

    # the first of equals is the best; the other one is compared, whichever it was
    final = kd_compare.tune(
        spec, trials=3, final_seeds=1, final_overrides=["data.eval_samples=30"], **arguments
    )
    assert len(final.trials) == 3
    names = {one.partition(" ")[0] for one in launcher.started[before:]}
    if final.best == 0:
        assert final.comparison is None
    else:
        assert final.comparison is not None
        assert [row.label for row in final.comparison.methods] == ["default", "tuned"]
        assert {"default-seed1", "tuned-seed1"} <= names
    content = json.loads((folder / "tuning.json").read_text())
    assert content["trials"][1]["score"] == result.trials[1].score
    page = (folder / "tuning.html").read_text()
    assert "each trial, and the best so far" in page
    assert "distiller.temperature" in page


def test_another_measure_is_the_objective_and_an_unknown_one_is_refused(spec: Path, launcher: InThisProcess):
    result = kd_compare.tune(
        spec,
        search={"train.epochs": [1, 3], "train.keep": ["last", "best"]},
        objective="top5",
        trials=1,
        final_seeds=0,
        storage="journal",
        quiet=True,
    )
    assert result.objective == "top5"
    assert result.trials[0].values == {"train.epochs": 3, "train.keep": "last"}  # the spec's own
    with pytest.raises(UserError, match="did you mean 'top5'"):
        final_score(RunDirectory(result.directory / "runs" / "trial-0-seed0"), "top_5")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"trials": 0}, ["--trials", "must be at least 1"]),
        ({"minutes": 0}, ["--minutes", "must be above 0"]),
        ({"seeds": []}, ["--seeds"]),
        ({"sampler": "tpee"}, ["--sampler", "did you mean 'tpe'?"]),
        ({"sampler": "cmaes"}, ["--sampler", "tpe, random, gp"]),
        ({"pruner": "hyperbands"}, ["--pruner", "did you mean 'hyperband'?"]),
        (
            {"search": ["distiller.temprature=1..8"]},
            ["--search distiller.temprature", "did you mean 'temperature'?"],
        ),
        ({"search": ["distiller.temperature=-1..8"]}, ["--search distiller.temperature", "-1"]),
        ({"search": ["optimizer.name=sgd,sdg"]}, ["--search optimizer.name", "sdg"]),
        ({"search": ["optimizer.lr=0.1..1", "optimizer.lr=0.1..2"]}, ["is searched twice"]),
        ({"search": ["space.toml"]}, ["space.toml"]),
        ({"constraints": ["a<b"]}, ["--constraint"]),
        ({"storage": "sqllite"}, ["--storage"]),
        ({"final_overrides": ["data.eval_split"]}, ["--set"]),
        ({"name": "a/b"}, ["--name"]),
    ],
)
def test_what_is_wrong_is_reported_before_anything_is_trained(
    changes: dict[str, Any], parts: list[str], spec: Path, launcher: InThisProcess
):
    with pytest.raises(UserError) as caught:
        kd_compare.tune(spec, quiet=True, **changes)
    for part in parts:
        assert part in str(caught.value)
    assert launcher.started == []


def test_both_ends_of_each_automatic_range_are_allowed():
    wrong, found = [], 0
    plugins = get_plugins()
    for provided in plugins.all(DistillerEntry):
        options = plugins.load_options(provided, "distiller")
        for name, field in options.model_fields.items() if options else ():
            one = _dimension(name, field.default, _allowed(field), epochs=10)
            for end in () if one is None else (one.low, one.high, field.default):
                try:
                    options.model_validate({name: end})
                    found += 1
                except ValueError:
                    wrong.append((provided.qualified, name, end))
            if one is not None and not one.low <= field.default <= one.high:
                wrong.append((provided.qualified, name, str(one)))
    assert wrong == []
    assert found > 500


def test_without_a_space_the_distillers_numbers_are_searched_around_the_papers_values(spec: Path):
    from kd_compare.tuning.plan import TuneBase, make_space

    def space(distiller: str) -> dict[str, str]:
        base = TuneBase(spec=spec, overrides=(f"distiller={distiller}",))
        return {one.path: str(one) for one in make_space(base, base.load(), ())}

    assert space("dkd") == {
        "distiller.weight": "log(0.125..8)",
        "distiller.alpha": "log(0.125..8)",
        "distiller.beta": "log(1..64)",
        "distiller.temperature": "log(0.5..32)",
        "distiller.warmup_epochs": "int(0..20)",
    }
    with_recipe = TuneBase(spec=spec, overrides=("distiller=dkd", "recipe=imagenet-100"))
    found = {one.path: str(one) for one in make_space(with_recipe, with_recipe.load(), ())}
    assert found["distiller.beta"] == "log(0.0625..4)"  # around the recipe's 0.5
    assert space("tfkd")["distiller.correct_probability"] == "0.12375..0.99875"
    assert "distiller.stage" not in space("uskd")
    assert space("crd") == {
        "distiller.weight": "log(0.1..6.4)",
        "distiller.temperature": "log(0.00875..0.56)",
        "distiller.momentum": "0..1",
    }
