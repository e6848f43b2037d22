from __future__ import annotations

import pytest

from kdcore import launcher
from kdcore.errors import UserError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
WHOLE = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch):
    """Sets these variables, and no others of a launcher's."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the code takes out
        monkeypatch.delenv(name)

    def launch(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launch


def test_the_launcher_says_which_process_this_is(launched):
    assert launcher.rank() == 0
    launched(**WHOLE)
    assert launcher.rank() == 1


@pytest.mark.parametrize(
    "left_over", [{"WORLD_SIZE": "2"}, {"RANK": "1"}, {"LOCAL_RANK": "3"}, {"RANK": "x", "WORLD_SIZE": "y"}]
)
def test_without_an_address_it_is_a_single_process_with_a_warning(launched, capsys, monkeypatch, left_over):
    launched(**left_over)
    assert launcher.rank() == 0
    told = capsys.readouterr().err
    assert all(f"{name}={value}" in told for name, value in left_over.items())
    assert "MASTER_ADDR is not set: this is a single process" in told
    assert launcher.rank() == 0
    assert capsys.readouterr().err == ""  # accelerate reads the same variables, and finds none


def test_one_process_of_one_needs_no_warning(launched, capsys):
    launched(WORLD_SIZE="1", RANK="0", LOCAL_RANK="0")
    assert launcher.rank() == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"MASTER_PORT": ""},
            "MASTER_PORT: not set, but RANK, WORLD_SIZE, LOCAL_RANK say that",
        ),
        ({"RANK": ""}, "RANK: not set, but WORLD_SIZE, LOCAL_RANK say"),
        ({"RANK": "abc"}, "RANK: not a number of processes"),
        ({"WORLD_SIZE": "2.5"}, "WORLD_SIZE: not a number of processes"),
        ({"RANK": "2"}, "RANK: there is no process with this number (got 2)"),
    ],
)
def test_what_is_incomplete_or_wrong_is_told(launched, change: dict[str, str], told: str):
    launched(**WHOLE | change)
    with pytest.raises(UserError) as caught:
        launcher.rank()
    assert str(caught.value).startswith(told)
