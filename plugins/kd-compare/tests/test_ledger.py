"""The trials of a tuning: a call that is killed anywhere ends with the same ones. The training is played."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="kd tune needs the extra 'tune'")

from kd_compare.compat import live_trial
from kd_compare.tuning import ledger as module
from kd_compare.tuning.ledger import BATCH, Ledger
from kd_compare.tuning.search import parse_dimension
from kd_compare.tuning.settings import SAMPLERS, TuneSettings

from kdcore import UserError


def settings(**changes: Any) -> TuneSettings:
    fields: dict[str, Any] = {
        "space": (
            parse_dimension("distiller.temperature", "log(1..16)", 4.0),
            parse_dimension("distiller.warmup_epochs", "0..9", 3),
            parse_dimension("optimizer.name", "sgd,lamb", "sgd"),
        ),
        "sampler": "tpe",
        "pruner": "none",
        "sampler_seed": 0,
        "seeds": (0,),
        "together": 2,
        "objective": None,
        "minimize": False,
        "constraints": (),
        "epochs": 27,
    }
    return TuneSettings(**fields | changes)


def score(params: dict[str, Any], epoch: int) -> float:
    temperature, warmup, name = params.values()
    return 90 - abs(temperature - 3) - 0.1 * warmup + (name == "lamb") + 0.01 * epoch


class Killed(Exception):
    """Instead of SIGKILL."""


Step = Callable[[], None]


def play(ledger: Ledger, plan: TuneSettings, trials: int, step: Step) -> None:
    """What the tuner does, without training; `step` comes before and after each change of the study."""
    while batch := ledger.batch(
        trials, {"distiller.temperature": 4.0, "distiller.warmup_epochs": 3, "optimizer.name": "sgd"}
    ):
        alive = batch
        for rung in plan.rungs:
            for one in alive:
                step()
                ledger.report(one.number, rung, score(one.params, rung))
            step()
            pruned = ledger.to_prune(batch[0].user_attrs[BATCH], rung)
            for one in alive:
                step()
                if one.number in pruned:
                    ledger.prune(one.number)
            alive = [one for one in alive if one.number not in pruned]
        for one in alive:
            step()
            ledger.finish(one.number, [score(one.params, plan.epochs)], {})
        step()


def outcome(ledger: Ledger) -> list[Any]:
    return [(one.number, one.state.name, one.params, one.value) for one in ledger.trials]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    base = tmp_path_factory.mktemp("tunings")

    def make(name: str) -> Path:
        # one name: the pruner's brackets depend on it
        path = base / name / "tuning"
        path.mkdir(parents=True)
        return path

    return make


@pytest.mark.parametrize("pruner", ["none", "hyperband", "halving", "median"])
def test_a_tuning_killed_at_random_moments_has_the_same_trials(pruner: str, folder):
    plan = settings(pruner=pruner)
    whole = Ledger(plan, folder(f"{pruner}-whole"), "journal", "a")
    play(whole, plan, 14, lambda: None)
    wanted = outcome(whole)
    assert len(wanted) == 14
    assert {"PRUNED" in state for _, state, _, _ in wanted} == (
        {False} if pruner == "none" else {True, False}
    )

    chance, path, kills = random.Random(1), folder(f"{pruner}-killed"), 0

    def step() -> None:
        if kills < 5 and chance.random() < 0.15:
            raise Killed

    while True:
        try:
            play(ledger := Ledger(plan, path, "journal", "a"), plan, 14, step)
            break
        except Killed:
            kills += 1
    assert kills == 5
    assert outcome(ledger) == wanted


def test_the_first_trial_has_the_own_values_and_more_trials_extend_a_tuning(folder):
    plan = settings()
    once = Ledger(plan, folder("once"), "journal", "a")
    play(once, plan, 7, lambda: None)
    assert list(once.trials[0].params.values()) == [4.0, 3, "sgd"]
    twice = Ledger(plan, folder("twice"), "journal", "a")
    for trials in (3, 7):  # 3 ends within a batch
        play(twice, plan, trials, lambda: None)
    assert outcome(twice) == outcome(once)
    other = Ledger(settings(sampler_seed=1), folder("other"), "journal", "a")
    play(other, plan, 7, lambda: None)
    assert outcome(other)[1:] != outcome(once)[1:]


def test_sqlite_stores_the_same(folder):
    plan, path = settings(pruner="hyperband"), folder("sqlite")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        ledger = Ledger(plan, path, "sqlite", "a")
        play(ledger, plan, 4, lambda: None)
    other = Ledger(plan, folder("sqlite-journal"), "journal", "a")
    play(other, plan, 4, lambda: None)
    assert outcome(ledger) == outcome(other)


def test_two_workers_share_the_trials(folder):
    plan, path = settings(), folder("shared")
    first, second = (Ledger(plan, path, "journal", name) for name in "ab")
    own = first.batch(5, None)
    others = second.batch(5, None)
    assert ([one.number for one in own], [one.number for one in others]) == ([0, 1], [2, 3])
    again = Ledger(plan, path, "journal", "b")
    assert [one.number for one in again.batch(5, None)] == [2, 3]  # what it left, and nothing of the other
    for one in own:
        first.finish(one.number, [1.0], {})
    assert [one.number for one in first.batch(5, None)] == [4]


def test_failed_trials_and_broken_constraints_are_stored(folder):
    ledger = Ledger(settings(), folder("failed"), "journal", "a")
    ledger.batch(2, None)
    ledger.fail(0, "loss is nan")
    ledger.finish(1, [50.0, 52.0], {"student.parameters<=1": 5.0})
    from kd_compare.tuning.result import best_of, trial_rows

    assert ledger.trials[1].constraints == {"student.parameters<=1": 5.0}  # the sampler reads them
    rows = trial_rows(ledger.trials)
    assert (rows[0].status, rows[0].error) == ("failed", "loss is nan")
    assert (rows[1].score, rows[1].scores, rows[1].feasible) == (51.0, (50.0, 52.0), False)
    assert best_of(rows, minimize=False) is None


def test_failed_trials_are_repeated_once_and_do_not_count(folder):
    from kd_compare.tuning.result import to_repeat, trial_rows

    def failed() -> list[int]:
        return to_repeat(trial_rows(later.trials))

    plan, path = settings(), folder("repeated")
    ledger = Ledger(plan, path, "journal", "a")
    ledger.batch(2, None)
    ledger.fail(0, "the disk is full")
    ledger.fail(1, "warmup_epochs: must be below train.epochs", refused=True)
    assert ledger.batch(2, None) == []

    later = Ledger(plan, path, "journal", "b")
    repeat = failed()
    assert repeat == [0]  # the values of the other one are refused again
    (again,) = later.batch(2, None, repeat)
    assert (again.number, again.params) == (2, ledger.trials[0].params)
    later.fail(2, "the disk is full")
    assert later.batch(2, None, repeat) == []  # not twice in one call
    assert failed() == [2]
    (again,) = later.batch(2, None, failed())
    later.finish(again.number, [50.0], {})
    assert (failed(), later.batch(2, None, [0, 2])) == ([], [])

    rows = trial_rows(later.trials)
    assert [(row.status, row.refused, row.repeats) for row in rows] == [
        ("failed", False, None),
        ("failed", True, None),
        ("failed", False, 0),
        ("finished", False, 2),
    ]
    assert [to_repeat(rows[:count]) for count in (1, 2, 3, 4)] == [[0], [0], [2], []]
    assert to_repeat(rows[1:2]) == []
    assert len(later.batch(3, None)) == 1  # 2 of the 4 trials are repeated and do not count


def test_other_settings_in_the_same_folder_are_refused(folder):
    path = folder("settings")
    Ledger(settings(), path, "journal", "a")
    with pytest.raises(UserError) as caught:
        Ledger(settings(sampler_seed=3, pruner="median"), path, "journal", "a")
    text = str(caught.value)
    assert "--sampler-seed" in text
    assert "--pruner" in text
    assert "--seeds" not in text


def test_a_storage_that_is_none_is_refused(tmp_path: Path):
    for text, part in [("sqllite", "this is not a storage"), ("nodatabase://x", "cannot be opened")]:
        with pytest.raises(UserError, match=part):
            module.open_storage(text, tmp_path)


def test_optuna_lets_a_stored_trial_be_reported_to(folder):
    ledger = Ledger(settings(), folder("compat"), "journal", "a")
    (one, _) = ledger.batch(2, None)
    live_trial(ledger.study, one).report(3.0, 1)
    assert ledger.trials[0].intermediate_values == {1: 3.0}


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_sampler_is_the_one_that_was_named(name, tmp_path):
    ledger = Ledger(settings(sampler=name), tmp_path, "journal", "a")
    assert type(ledger._sampler(0)).__name__.lower() == f"{name}sampler"
