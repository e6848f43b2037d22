from __future__ import annotations

import pytest

from kdcore import UserError
from kdcore.inspect import find_run


@pytest.fixture
def runs(tmp_path):
    for name in ("first", "second"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "spec.json").write_text("{}")
    return tmp_path / "runs"


def problem_of(path):
    with pytest.raises(UserError) as caught:
        find_run(path)
    (problem,) = caught.value.problems
    return problem


def test_a_run_is_found(runs):
    assert find_run(str(runs / "first")).path == runs / "first"


def test_a_wrong_name_gets_the_nearest(runs):
    problem = problem_of(runs / "frist")
    assert problem.message == "there is no such run"
    assert problem.nearest == str(runs / "first")


def test_a_folder_of_runs_names_them(runs):
    problem = problem_of(runs)
    assert problem.message == "this folder is not a run directory"
    assert str(runs / "second") in problem.allowed


def test_a_file_is_not_a_run(runs):
    assert "this is a file" in problem_of(runs / "first" / "spec.json").message


def test_nothing_near(tmp_path):
    assert "'kd run' prints it" in problem_of(tmp_path / "x").hint
