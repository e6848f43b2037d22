"""The harness: rounds are paired, ratios are taken within them, tables say what was measured."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.rounds import Case, measure, ratio
from benchmarks.table import markdown, text

ROOT = Path(__file__).resolve().parents[2]


def test_a_round_has_a_step_of_each_contender_in_changing_order():
    calls = []
    case = Case("order", "a", {name: lambda name=name: calls.append(name) for name in "abc"})
    measured = measure(case, rounds=20, seconds=60.0, warmup=1)
    rounds = [tuple(calls[at : at + 3]) for at in range(3, len(calls), 3)]
    assert len(rounds) == 20
    assert {tuple(sorted(one)) for one in rounds} == {("a", "b", "c")}
    assert len(set(rounds)) > 1
    assert {len(values) for values in (*measured.values.values(), *measured.cpu.values())} == {20}


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    # the machine was slow in the second round, for both: the ratio of medians would be 2
    found = ratio([2.0, 40.0, 4.0], [1.0, 20.0, 1.0])
    assert found.median == 2.0
    assert found.low == 2.0
    assert found.high == 3.0


def test_at_least_five_rounds_whatever_the_time():
    case = Case("short", "a", {"a": lambda: None})
    assert len(measure(case, rounds=9, seconds=0.0).values["a"]) == 5


def test_other_units_are_what_the_steps_return_and_are_not_warmed_up():
    values = iter([300.0, 330.0])
    case = Case("memory", "bare", {"bare": lambda: 200.0, "kd": lambda: next(values)}, unit="MiB")
    measured = measure(case, rounds=2, seconds=60.0)
    assert measured.values == {"bare": [200.0, 200.0], "kd": [300.0, 330.0]}
    assert not measured.cpu
    assert "median MiB" in text(measured)
    assert "CPU" not in text(measured)


def test_a_table_has_a_row_for_what_could_not_run():
    case = Case("with notes", "a", {"a": lambda: None}, images=4, notes={"peer": "not installed"})
    measured = measure(case, rounds=5, seconds=1.0)
    rows = markdown(measured).splitlines()
    assert rows[0].count("|") == rows[1].count("|") == rows[-1].count("|")
    assert rows[-1].startswith("| peer | not installed |")
    assert "images/s" in rows[0]


def test_the_command_writes_every_time_and_the_environment(tmp_path):
    file = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks", "startup", "--only", "commands"]
    command += ["--rounds", "1", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    (case,) = found["groups"]["startup"]
    assert len(case["values"]["kd --help"]) == 1
    assert found["environment"]["packages"]["torch"]
    assert "kd --help" in done.stdout


def test_an_unknown_group_is_an_error_that_lists_them():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "stepps"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "startup" in done.stderr
